package ci.deploy_access_test

import data.ci.deploy_access

allowed(document) := granted if {
	granted := deploy_access.allow with input as document
} else := false

obliged(document) := obligations if {
	obligations := deploy_access.obligations with input as document
}

request := {
	"tenant": "acme",
	"action": "functions:deploy",
	"subject": {
		"id": "ci:shop/payments",
		"type": "service",
		"roles": ["ci-deployer"],
		"groups": [],
		"authentication": "jwt",
		"attributes": {
			"issuer": "https://ci.example",
			"repository": "git.example/shop/payments",
			"ref": "refs/heads/main",
			"ref_protected": true,
			"commit": "4f1d2c9",
		},
	},
	"resource": {
		"id": "shop-payments",
		"type": "function",
		"labels": {"environment": "production"},
		"attributes": {},
	},
	"context": {"approvals": 2},
}

replaced(path, value) := json.patch(request, [{"op": "replace", "path": path, "value": value}])

codes(document) := {reason.code | some reason in denied} if {
	denied := deploy_access.deny with input as document
}

test_approved_pipeline_deploys_its_function if {
	allowed(request)
	codes(request) == set()
}

test_function_of_another_repository_is_not_allowed if {
	allowed(replaced("/resource/id", "bank-token-vault")) == false
	allowed(replaced("/subject/attributes/repository", "git.example/else/where")) == false
}

test_production_takes_approvals_and_a_protected_ref if {
	every patch in [
		{"op": "replace", "path": "/context/approvals", "value": 1},
		{"op": "remove", "path": "/context/approvals"},
		{"op": "remove", "path": "/context"},
		{"op": "replace", "path": "/subject/attributes/ref", "value": "refs/heads/feature"},
		{"op": "replace", "path": "/subject/attributes/ref_protected", "value": false},
		{"op": "remove", "path": "/subject/attributes/ref_protected"},
	] {
		allowed(json.patch(request, [patch])) == false
	}
}

test_staging_takes_any_ref if {
	document := json.patch(request, [
		{"op": "replace", "path": "/resource/labels/environment", "value": "staging"},
		{"op": "replace", "path": "/subject/attributes/ref", "value": "refs/heads/feature"},
		{"op": "remove", "path": "/context"},
	])
	allowed(document)
}

test_unknown_environment_is_not_allowed if {
	allowed(json.patch(request, [{"op": "remove", "path": "/resource/labels/environment"}])) == false
}

test_change_of_roles_denies if {
	document := replaced("/action", "iam:attach-policy")
	allowed(document) == false
	codes(document) == {"role_change"}
}

test_person_with_the_role_denies if {
	document := replaced("/subject/type", "user")
	allowed(document) == false
	codes(document) == {"not_a_pipeline"}
}

test_token_of_another_issuer_denies if {
	codes(replaced("/subject/attributes/issuer", "https://ci.attacker.example")) == {"not_a_pipeline"}
}

test_production_deployment_is_logged_with_its_commit if {
	obliged(request) == {{"type": "log", "event": "deployment", "commit": "4f1d2c9"}}
}
