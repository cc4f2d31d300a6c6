# METADATA
# title: Device posture, place and behaviour
# description: |
#   Judgements that access policies share. Each is undefined where its facts are
#   missing, so a policy that needs one cannot be satisfied by leaving it out.
# schemas:
#   - input: schema.input
package lib.posture

# METADATA
# title: Trusted device
# description: The device is managed, meets its posture policy and encrypts its storage.
trusted_device if {
	input.device.managed == true
	input.device.compliant == true
	input.device.disk_encrypted == true
}

# METADATA
# title: In one of the countries
# description: The request comes from one of `countries` and not through an anonymiser.
in_country(countries) if {
	input.location.country in countries
	input.location.anonymous == false
}

# METADATA
# title: Risk below
# description: The behaviour score is known and below `bound`.
risk_below(bound) if input.behaviour.score < bound

# METADATA
# title: Strongly authenticated
# description: The subject used a second factor or a client certificate.
strongly_authenticated if input.subject.authentication in {"mfa", "mtls"}
