package shop.calls_test

import data.shop.calls

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
	calls.allow with input as request
}

test_call_in_the_other_direction_is_not_allowed if {
	document := json.patch(request, [
		{"op": "replace", "path": "/function/labels/app", "value": "payments"},
		{"op": "replace", "path": "/destination/labels/app", "value": "checkout"},
	])
	not calls.allow with input as document
}

test_unlisted_destination_is_not_allowed if {
	not calls.allow with input as replaced("/destination/labels/app", "ledger")
}

test_missing_labels_are_not_allowed if {
	every path in {
		"/function/labels/app",
		"/destination/labels/app",
		"/destination/labels/environment",
		"/function/environment",
		"/destination/kind",
	} {
		not calls.allow with input as without(path)
	}
}

test_call_to_the_outside_is_not_allowed if {
	not calls.allow with input as replaced("/destination/kind", "external")
}

test_call_across_environments_denies_by_name if {
	document := replaced("/destination/labels/environment", "staging")
	not calls.allow with input as document
	denied := calls.deny with input as document
	{reason.code | some reason in denied} == {"environment_crossed"}
}
