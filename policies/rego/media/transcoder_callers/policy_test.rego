package media.transcoder_callers_test

import data.media.transcoder_callers

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
	transcoder_callers.allow with input as request
	count(transcoder_callers.deny) == 0 with input as request
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
		not transcoder_callers.allow with input as document
		count(transcoder_callers.deny) == 1 with input as document
	}
}
