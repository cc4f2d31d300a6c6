# METADATA
# title: Calls inside the shop
# description: |
#   Which function of the shop may talk to which function or service, by their
#   `app` labels and in the same environment. Whatever is not listed is denied
#   because nothing allows it.
# schemas:
#   - input: schema.input
package shop.calls

import data.shop_estate

# METADATA
# title: Allow
# description: The call is listed, stays in its environment and goes to a function or service of the estate.
allow if {
	input.destination.labels.app in shop_estate.calls[input.function.labels.app]
	input.destination.labels.environment == input.function.environment
	input.destination.kind in {"function", "service"}
}

# METADATA
# title: Call across environments
# description: A listed pair in two environments is denied by name, because it is nearly always a mistake.
deny contains {"code": "environment_crossed", "message": "caller and destination are in different environments"} if {
	input.destination.labels.environment != input.function.environment
}
