package platform.tenant_isolation_test

import data.platform.tenant_isolation

codes(document) := {reason.code | some reason in denied} if {
	denied := tenant_isolation.deny with input as document
}

request(tenant, subject, resource) := {
	"tenant": tenant,
	"subject": {"id": "s", "attributes": subject},
	"resource": {"id": "r", "labels": resource},
}

test_one_tenant_throughout_is_left_to_others if {
	codes(request("acme", {"tenant": "acme"}, {"tenant": "acme"})) == set()
}

test_subject_of_another_tenant_denies if {
	codes(request("acme", {"tenant": "globex"}, {})) == {"subject_of_other_tenant"}
}

test_resource_of_another_tenant_denies if {
	codes(request("acme", {}, {"tenant": "globex"})) == {"resource_of_other_tenant"}
}

test_unknown_tenant_is_left_to_the_team if {
	codes(request("acme", {}, {})) == set()
}
