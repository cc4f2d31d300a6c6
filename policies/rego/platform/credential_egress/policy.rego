# METADATA
# title: Credentials never leave
# description: |
#   A guardrail: a payload that holds a private key or a cloud key leaves for no
#   destination outside of the estate, and for none whose kind is unknown. It
#   grants nothing.
# schemas:
#   - input: schema.input
package platform.credential_egress

# METADATA
# title: Credential on its way out
# description: Only a destination that is known to be inside may get a credential.
deny contains {"code": "credential_leaves", "message": "a credential may not leave the estate"} if {
	some finding in input.payload.findings
	finding.category == "credential"
	not inside
}

inside if input.destination.kind in {"function", "service"}
