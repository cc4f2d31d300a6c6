# METADATA
# title: The transcoder's only caller
# description: |
#   The transcoder parses files from strangers, so only the ingest function may
#   call it: by id, by label, under its role and from the same environment.
#   Everything else that reaches for it is denied by name.
# schemas:
#   - input: schema.input
package media.transcoder_callers

# METADATA
# title: Allow the ingest
# description: All four signs agree; a label alone is not proof.
allow if ingest

# METADATA
# title: Anyone else
# description: A deny, not a mere lack of permission, so that no other policy can allow it.
deny contains {"code": "not_the_ingest", "message": "only the media ingest may call the transcoder"} if {
	not ingest
}

ingest if {
	input.function.id == "media-ingest"
	input.function.labels.app == "ingest"
	"media-ingest" in input.function.roles
	input.function.environment == input.destination.labels.environment
}
