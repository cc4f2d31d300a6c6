# METADATA
# title: What the CI deployer may deploy
# description: |
#   A pipeline deploys the functions of its own repository and nothing else: with
#   a short-lived token of the CI provider, from a protected ref and with enough
#   approvals where it is production. It never changes roles.
# schemas:
#   - input: schema.input
package ci.deploy_access

import data.ci_estate

# METADATA
# title: Allow outside production
# description: The pipeline's own function, any ref.
allow if {
	deployer
	own_function
	input.resource.labels.environment in {"development", "staging"}
}

# METADATA
# title: Allow production
# description: The pipeline's own function, from a protected ref, approved.
allow if {
	deployer
	own_function
	input.resource.labels.environment == "production"
	input.subject.attributes.ref in ci_estate.production_refs
	input.subject.attributes.ref_protected == true
	input.context.approvals >= ci_estate.minimum_approvals
}

# METADATA
# title: Change of roles
# description: A deployer that could change roles could give itself any.
deny contains {"code": "role_change", "message": "a deployer may not change roles"} if {
	startswith(input.action, "iam:")
}

# METADATA
# title: Human with a pipeline's role
# description: The role is for pipelines; a person who holds it has taken it.
deny contains {"code": "not_a_pipeline", "message": "the deployer role is for pipelines only"} if {
	"ci-deployer" in input.subject.roles
	not pipeline
}

# METADATA
# title: Deployment log
# description: Each production deployment is logged with its commit.
obligations contains {"type": "log", "event": "deployment", "commit": input.subject.attributes.commit} if {
	input.resource.labels.environment == "production"
}

pipeline if {
	input.subject.type == "service"
	input.subject.authentication == "jwt"
	input.subject.attributes.issuer == "https://ci.example"
}

deployer if {
	pipeline
	"ci-deployer" in input.subject.roles
	input.action == "functions:deploy"
}

own_function if {
	input.resource.id in ci_estate.repositories[input.subject.attributes.repository]
}
