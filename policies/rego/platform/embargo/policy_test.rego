package platform.embargo_test

import data.platform.embargo

codes(document) := {reason.code | some reason in denied} if {
	denied := embargo.deny with input as document
}

test_embargoed_country_denies if {
	codes({"location": {"country": "KP"}}) == {"country_embargoed"}
}

test_served_country_is_left_to_others if {
	codes({"location": {"country": "DE"}}) == set()
}

test_missing_facts_are_left_to_others if {
	codes({}) == set()
	codes({"location": {}, "behaviour": {}}) == set()
}

test_score_denies_from_its_bound_on if {
	codes({"behaviour": {"score": 0.94}}) == set()
	codes({"behaviour": {"score": 0.95}}) == {"behaviour_hostile"}
}
