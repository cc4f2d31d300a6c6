# METADATA
# title: Tenants stay apart
# description: |
#   An organisation rule over every access question: a subject or a resource that
#   is known to belong to another tenant than the request's is denied. It grants
#   nothing; whether a tenant must be known is the team's to say.
# schemas:
#   - input: schema.input
package platform.tenant_isolation

# METADATA
# title: Subject of another tenant
# description: The subject's `tenant` attribute names another tenant.
deny contains {"code": "subject_of_other_tenant", "message": "the subject belongs to another tenant"} if {
	input.subject.attributes.tenant != input.tenant
}

# METADATA
# title: Resource of another tenant
# description: The resource's `tenant` label names another tenant.
deny contains {"code": "resource_of_other_tenant", "message": "the resource belongs to another tenant"} if {
	input.resource.labels.tenant != input.tenant
}
