package media.transcoder_callers_test

import data.media.transcoder_callers

allowed(document) := granted if {
	granted := transcoder_callers.allow with input as document
} else := false

denials(document) := count(denied) if {
	denied := transcoder_callers.deny with input as document
}

request := {
	"function": {
		"id": "media-ingest",
		"labels": {"app": "ingest"},
		"roles": ["media-ingest"],
		"environment": "production",
		"attributes": {},
	},
	"destination": {
		"id": "media-transcoder",
		"kind": "function",
		"labels": {"app": "transcoder", "environment": "production"},
		"attributes": {},
	},
}

test_ingest_is_allowed if {
	allowed(request)
	denials(request) == 0
}

test_caller_that_lacks_one_sign_denies if {
	every patch in [
		{"op": "replace", "path": "/function/id", "value": "media-gallery"},
		{"op": "replace", "path": "/function/labels/app", "value": "gallery"},
		{"op": "remove", "path": "/function/labels/app"},
		{"op": "replace", "path": "/function/roles", "value": []},
		{"op": "replace", "path": "/function/environment", "value": "staging"},
		{"op": "remove", "path": "/function/environment"},
		{"op": "remove", "path": "/destination/labels/environment"},
	] {
		document := json.patch(request, [patch])
		allowed(document) == false
		denials(document) == 1
	}
}
