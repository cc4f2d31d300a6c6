# METADATA
# title: Access to the authentication function
# description: |
#   Anyone may try to log in unless the attempt looks hostile; a session may
#   refresh, end and read itself; keys are rotated by administrators with a
#   second factor, a fresh token and a trusted device.
# schemas:
#   - input: schema.input
package auth.session_access

import data.auth_estate
import data.lib.posture

# METADATA
# title: Allow an attempt
# description: Logging in and recovering an account need no session, only a tolerable risk.
allow if {
	input.action in auth_estate.open_actions
	posture.risk_below(auth_estate.risk.deny_from)
}

# METADATA
# title: Allow a session
# description: The subject acts on the session it owns.
allow if {
	input.action in auth_estate.session_actions
	input.subject.authentication in {"password", "mfa", "jwt"}
	input.resource.owner == input.subject.id
	posture.risk_below(auth_estate.risk.deny_from)
}

# METADATA
# title: Allow an administrator
# description: A role, a second factor, a fresh token, a trusted device and a low risk.
allow if {
	input.action in auth_estate.admin_actions
	"auth-admin" in input.subject.roles
	input.subject.authentication == "mfa"
	input.subject.attributes.token_age_seconds <= auth_estate.admin_max_token_age_seconds
	posture.trusted_device
	posture.risk_below(auth_estate.risk.admin_deny_from)
}

# METADATA
# title: Hostile behaviour
# description: Credential stuffing and alike, seen by the behaviour score.
deny contains {"code": "behaviour_risk", "message": "recent behaviour is too risky to log in"} if {
	input.behaviour.score >= auth_estate.risk.deny_from
}

# METADATA
# title: Administration from an anonymiser
# description: Nobody administers keys from an address known as an anonymiser.
deny contains {"code": "anonymiser", "message": "administration from an anonymiser is not allowed"} if {
	input.action in auth_estate.admin_actions
	input.location.anonymous == true
}

# METADATA
# title: Step-up
# description: A doubtful attempt goes on with a second factor.
obligations contains {"type": "step_up", "method": "mfa"} if {
	input.behaviour.score >= auth_estate.risk.step_up_from
	not posture.strongly_authenticated
}
