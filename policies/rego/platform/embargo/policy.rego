# METADATA
# title: Embargo and certain hostility
# description: |
#   A guardrail over every access question: no embargoed country, no behaviour
#   that is all but certainly hostile. It grants nothing, and a request without
#   these facts is left to the policies that require them.
# schemas:
#   - input: schema.input
package platform.embargo

import data.platform_estate

# METADATA
# title: Embargoed country
# description: The request comes from a country the platform does not serve.
deny contains {"code": "country_embargoed", "message": "the platform does not serve this country"} if {
	input.location.country in platform_estate.embargoed_countries
}

# METADATA
# title: Hostile behaviour
# description: The behaviour score leaves no doubt, whatever a team accepts.
deny contains {"code": "behaviour_hostile", "message": "recent behaviour is hostile"} if {
	input.behaviour.score >= platform_estate.behaviour_deny_from
}
