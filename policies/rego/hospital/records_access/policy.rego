# METADATA
# title: Access to patient records
# description: |
#   Clinical staff see the records of patients in their care, patients their own,
#   billing only invoices. Breaking the glass opens a record to clinical staff
#   outside of the care team, with a reason, a strong login and an entry for review.
# schemas:
#   - input: schema.input
package hospital.records_access

import data.hospital_estate
import data.lib.posture

# METADATA
# title: Allow the care team
# description: A role that grants the action, for a patient in the subject's care.
allow if {
	from_trusted_place
	granted
	in_care_team
}

# METADATA
# title: Allow billing
# description: Invoices need a role and no care team, for they hold no findings.
allow if {
	from_trusted_place
	granted
	input.resource.type == "invoice"
}

# METADATA
# title: Allow patients their own record
# description: GDPR article 15; a patient's own device is not managed, so only the login counts.
allow if {
	same_tenant
	"patient" in input.subject.roles
	input.action in hospital_estate.actions.patient
	input.resource.type == "record"
	input.resource.owner == input.subject.id
	posture.strongly_authenticated
	posture.risk_below(hospital_estate.risk.deny_from)
}

# METADATA
# title: Allow when the glass is broken
# description: HIPAA 164.312(a)(2)(ii), emergency access. Reading only.
allow if glass_broken

# METADATA
# title: Foreign tenant
# description: Another hospital's subject, or one of none.
deny contains {"code": "foreign_tenant", "message": "the subject belongs to another hospital"} if {
	not same_tenant
}

# METADATA
# title: Hostile behaviour
# description: The behaviour score has reached the bound. No emergency overrides it.
deny contains {"code": "behaviour_risk", "message": "recent behaviour is too risky for patient records"} if {
	input.behaviour.score >= hospital_estate.risk.deny_from
}

# METADATA
# title: Sealed record
# description: A record the patient has sealed opens to its owner and to an emergency only.
deny contains {"code": "record_sealed", "message": "the patient has sealed this record"} if {
	input.resource.labels.sealed == "true"
	not own_record
	not glass_broken
}

# METADATA
# title: Review of broken glass
# description: Each emergency access is logged for review, with the reason given.
obligations contains {"type": "log", "event": "glass_broken", "reason": input.context.break_glass.reason} if {
	glass_broken
}

# METADATA
# title: Encrypted transport
# description: HIPAA 164.312(e)(1). Health data travels encrypted.
obligations contains {"type": "require_encryption", "minimum_tls": "1.2"} if {
	input.resource.type == "record"
}

same_tenant if input.subject.attributes.tenant == input.tenant

from_trusted_place if {
	same_tenant
	posture.trusted_device
	posture.in_country(hospital_estate.countries)
	posture.risk_below(hospital_estate.risk.deny_from)
}

granted if {
	some role in input.subject.roles
	input.action in hospital_estate.actions[role]
}

in_care_team if input.subject.id in input.resource.attributes.care_team

own_record if input.resource.owner == input.subject.id

clinical if {
	some role in input.subject.roles
	role in hospital_estate.clinical_roles
}

glass_broken if {
	from_trusted_place
	clinical
	posture.strongly_authenticated
	input.action == "records:read"
	input.context.break_glass.declared == true
	count(input.context.break_glass.reason) >= 10
}
