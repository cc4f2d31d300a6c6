# METADATA
# title: Patient data on its way out
# description: |
#   Inside the estate health and personal data may travel. A business associate
#   gets it as it is, research with identifiers masked, everyone else only
#   payloads that hold none.
# schemas:
#   - input: schema.input
package hospital.records_egress

import data.hospital_estate

# METADATA
# title: Allow inside the estate
# description: Functions and services of the hospital itself.
allow if input.destination.kind in {"function", "service"}

# METADATA
# title: Allow a business associate
# description: HIPAA 164.502(e). The destination carries the label of a signed agreement.
allow if associate

# METADATA
# title: Allow what holds no personal data
# description: Nothing in the payload was recognised as personal, health or financial data.
allow if not sensitive

# METADATA
# title: Personal data to a stranger
# description: Recognised data, and neither a destination inside nor an agreement.
deny contains {"code": "no_agreement", "message": "personal data needs a business associate agreement"} if {
	sensitive
	not inside
	not associate
}

# METADATA
# title: Masked identifiers for research
# description: HIPAA 164.514(b), de-identification; GDPR article 89.
obligations contains {"type": "mask", "categories": ["financial", "personal"]} if {
	input.destination.id in hospital_estate.research_destinations
}

inside if input.destination.kind in {"function", "service"}

associate if {
	input.destination.labels.agreement == "baa"
	input.transport.encrypted == true
}

sensitive if {
	some finding in input.payload.findings
	finding.category in {"financial", "health", "personal"}
}
