package auth.session_access_test

import data.auth.session_access

allowed(document) := granted if {
	granted := session_access.allow with input as document
} else := false

obliged(document) := obligations if {
	obligations := session_access.obligations with input as document
}

login := {
	"tenant": "acme",
	"action": "auth:login",
	"subject": {"id": "unknown", "roles": [], "groups": [], "attributes": {}},
	"resource": {"id": "/auth/login", "labels": {}, "attributes": {}},
	"behaviour": {"score": 0.1, "signals": []},
}

session := {
	"tenant": "acme",
	"action": "auth:refresh",
	"subject": {"id": "lena", "roles": [], "groups": [], "authentication": "jwt", "attributes": {}},
	"resource": {"id": "/auth/session", "owner": "lena", "labels": {}, "attributes": {}},
	"behaviour": {"score": 0.1, "signals": []},
}

rotation := {
	"tenant": "acme",
	"action": "auth:rotate-keys",
	"subject": {
		"id": "root-ada",
		"roles": ["auth-admin"],
		"groups": [],
		"authentication": "mfa",
		"attributes": {"token_age_seconds": 900},
	},
	"resource": {"id": "/auth/keys", "labels": {}, "attributes": {}},
	"device": {"managed": true, "compliant": true, "disk_encrypted": true, "attributes": {}},
	"location": {"country": "DE", "anonymous": false},
	"behaviour": {"score": 0.1, "signals": []},
}

replaced(document, path, value) := json.patch(document, [{"op": "replace", "path": path, "value": value}])

without(document, path) := json.patch(document, [{"op": "remove", "path": path}])

codes(document) := {reason.code | some reason in denied} if {
	denied := session_access.deny with input as document
}

test_anyone_may_try_to_log_in if {
	allowed(login)
}

test_login_of_unknown_risk_is_not_allowed if {
	allowed(without(login, "/behaviour")) == false
	allowed(without(login, "/behaviour/score")) == false
}

test_hostile_login_denies_from_its_bound_on if {
	allowed(replaced(login, "/behaviour/score", 0.89))
	allowed(replaced(login, "/behaviour/score", 0.9)) == false
	codes(replaced(login, "/behaviour/score", 0.9)) == {"behaviour_risk"}
}

test_doubtful_login_costs_a_second_factor if {
	obliged(replaced(login, "/behaviour/score", 0.4)) == {{"type": "step_up", "method": "mfa"}}
	obliged(replaced(login, "/behaviour/score", 0.39)) == set()
}

test_session_acts_on_itself_only if {
	allowed(session)
	allowed(replaced(session, "/resource/owner", "mallory")) == false
	allowed(without(session, "/resource/owner")) == false
	allowed(without(session, "/subject/authentication")) == false
}

test_administrator_rotates_keys if {
	allowed(rotation)
	codes(rotation) == set()
}

test_administration_needs_every_condition if {
	every patch in [
		{"op": "replace", "path": "/subject/roles", "value": ["auth-operator"]},
		{"op": "replace", "path": "/subject/authentication", "value": "jwt"},
		{"op": "replace", "path": "/subject/attributes/token_age_seconds", "value": 901},
		{"op": "remove", "path": "/subject/attributes/token_age_seconds"},
		{"op": "remove", "path": "/device"},
		{"op": "replace", "path": "/device/compliant", "value": false},
		{"op": "replace", "path": "/behaviour/score", "value": 0.3},
		{"op": "remove", "path": "/behaviour"},
	] {
		allowed(json.patch(rotation, [patch])) == false
	}
}

test_administration_from_an_anonymiser_denies if {
	codes(replaced(rotation, "/location/anonymous", true)) == {"anonymiser"}
}
