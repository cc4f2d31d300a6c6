# METADATA
# title: The cardholder data zone
# description: |
#   PCI DSS 1.3. Only listed pairs talk inside the zone, only under the zone's
#   role, and nothing outside of the zone talks into it.
# schemas:
#   - input: schema.input
package bank.card_zone

import data.bank_estate

# METADATA
# title: Allow
# description: A listed pair, the caller in the zone by its label and its role.
allow if {
	caller_in_zone
	destination_in_zone
	input.destination.labels.app in bank_estate.zone_edges[input.function.labels.app]
}

# METADATA
# title: Call into the zone
# description: Said by name, so that an assessor sees the refusal as the control it is.
deny contains {"code": "zone_boundary", "message": "only the cardholder data zone may call into it"} if {
	destination_in_zone
	not caller_in_zone
}

caller_in_zone if {
	input.function.labels.zone == "cardholder-data"
	"cardholder-data" in input.function.roles
}

destination_in_zone if input.destination.labels.zone == "cardholder-data"
