package shop.calls_test

import data.shop.calls

allowed(document) := granted if {
	granted := calls.allow with input as document
} else := false

request := {
	"function": {
		"id": "shop-checkout",
		"labels": {"app": "checkout"},
		"roles": ["shop-checkout-role"],
		"environment": "production",
		"attributes": {},
	},
	"destination": {
		"id": "shop-payments",
		"kind": "function",
		"labels": {"app": "payments", "environment": "production"},
		"attributes": {},
	},
}

replaced(path, value) := json.patch(request, [{"op": "replace", "path": path, "value": value}])

without(path) := json.patch(request, [{"op": "remove", "path": path}])

test_listed_call_is_allowed if {
	allowed(request)
}

test_call_in_the_other_direction_is_not_allowed if {
	document := json.patch(request, [
		{"op": "replace", "path": "/function/labels/app", "value": "payments"},
		{"op": "replace", "path": "/destination/labels/app", "value": "checkout"},
	])
	allowed(document) == false
}

test_unlisted_destination_is_not_allowed if {
	allowed(replaced("/destination/labels/app", "ledger")) == false
}

test_missing_labels_are_not_allowed if {
	every path in {
		"/function/labels/app",
		"/destination/labels/app",
		"/destination/labels/environment",
		"/function/environment",
		"/destination/kind",
	} {
		allowed(without(path)) == false
	}
}

test_call_to_the_outside_is_not_allowed if {
	allowed(replaced("/destination/kind", "external")) == false
}

test_call_across_environments_denies_by_name if {
	document := replaced("/destination/labels/environment", "staging")
	allowed(document) == false
	denied := calls.deny with input as document
	{reason.code | some reason in denied} == {"environment_crossed"}
}
