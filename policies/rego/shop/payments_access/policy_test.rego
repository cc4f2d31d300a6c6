package shop.payments_access_test

import data.shop.payments_access

allowed(document) := granted if {
	granted := payments_access.allow with input as document
} else := false

request := {
	"tenant": "acme",
	"action": "payments:capture",
	"subject": {
		"id": "lena",
		"type": "user",
		"roles": ["cashier"],
		"groups": [],
		"authentication": "password",
		"attributes": {"tenant": "acme"},
	},
	"resource": {"id": "/payments/p-81", "labels": {}, "attributes": {"amount_cents": 4900}},
	"device": {"managed": true, "compliant": true, "disk_encrypted": true, "attributes": {}},
	"location": {"country": "DE", "anonymous": false},
	"behaviour": {"score": 0.1, "signals": []},
}

patched(patches) := json.patch(request, patches)

replaced(path, value) := patched([{"op": "replace", "path": path, "value": value}])

without(path) := patched([{"op": "remove", "path": path}])

codes(document) := {reason.code | some reason in denied} if {
	denied := payments_access.deny with input as document
}

test_cashier_on_a_trusted_device_may_capture if {
	allowed(request)
	codes(request) == set()
}

test_wrong_role_is_not_allowed if {
	allowed(replaced("/subject/roles", ["clerk"])) == false
	allowed(replaced("/subject/roles", [])) == false
	allowed(replaced("/subject/roles", ["unheard-of"])) == false
}

test_foreign_tenant_denies if {
	document := replaced("/subject/attributes/tenant", "globex")
	allowed(document) == false
	codes(document) == {"foreign_tenant"}
}

test_missing_tenant_denies if {
	codes(without("/subject/attributes/tenant")) == {"foreign_tenant"}
	codes(without("/tenant")) == {"foreign_tenant"}
}

test_missing_fact_is_not_allowed if {
	some_paths := {
		"/device", "/device/managed", "/device/compliant", "/device/disk_encrypted",
		"/location", "/location/country", "/location/anonymous",
		"/behaviour", "/behaviour/score", "/subject", "/action",
	}
	every path in some_paths {
		allowed(without(path)) == false
	}
}

test_score_denies_from_its_bound_on if {
	allowed(replaced("/behaviour/score", 0.79))
	document := replaced("/behaviour/score", 0.8)
	allowed(document) == false
	codes(document) == {"behaviour_risk"}
}

test_device_that_fails_posture_denies_by_name if {
	codes(replaced("/device/compliant", false)) == {"device_not_compliant"}
}

test_country_outside_the_trade_is_not_allowed if {
	allowed(replaced("/location/country", "BR")) == false
	allowed(replaced("/location/anonymous", true)) == false
}

test_doubtful_score_costs_a_step_up if {
	step_up := {"type": "step_up", "method": "mfa"}
	doubtful := replaced("/behaviour/score", 0.5)
	step_up in payments_access.obligations with input as doubtful
	calm := replaced("/behaviour/score", 0.49)
	calm_obligations := payments_access.obligations with input as calm
	count({o | some o in calm_obligations; o.type == "step_up"}) == 0
	strong := json.patch(doubtful, [{"op": "replace", "path": "/subject/authentication", "value": "mfa"}])
	strong_obligations := payments_access.obligations with input as strong
	count({o | some o in strong_obligations; o.type == "step_up"}) == 0
}

refund(amount, authentication) := patched([
	{"op": "replace", "path": "/action", "value": "payments:refund"},
	{"op": "replace", "path": "/subject/roles", "value": ["treasurer"]},
	{"op": "replace", "path": "/subject/authentication", "value": authentication},
	{"op": "replace", "path": "/resource/attributes/amount_cents", "value": amount},
])

test_large_refund_takes_a_strong_login if {
	allowed(refund(50000, "password"))
	allowed(refund(50001, "password")) == false
	allowed(refund(50001, "mfa"))
}

test_refund_of_unknown_amount_takes_a_strong_login if {
	document := json.patch(refund(1, "password"), [{"op": "remove", "path": "/resource/attributes/amount_cents"}])
	allowed(document) == false
}
