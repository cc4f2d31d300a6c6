package lib.posture_test

import data.lib.posture

trusted := {"managed": true, "compliant": true, "disk_encrypted": true}

test_trusted_device_needs_all_three_facts if {
	posture.trusted_device with input as {"device": trusted}
	every name in object.keys(trusted) {
		lacking := object.remove(trusted, [name])
		not posture.trusted_device with input as {"device": lacking}
	}
}

test_missing_device_is_not_trusted if {
	not posture.trusted_device with input as {}
}

test_country_counts_only_without_an_anonymiser if {
	posture.in_country(["DE"]) with input as {"location": {"country": "DE", "anonymous": false}}
	not posture.in_country(["DE"]) with input as {"location": {"country": "DE", "anonymous": true}}
	not posture.in_country(["DE"]) with input as {"location": {"country": "DE"}}
	not posture.in_country(["DE"]) with input as {}
}

test_risk_bound_is_exclusive if {
	posture.risk_below(0.8) with input as {"behaviour": {"score": 0.79}}
	not posture.risk_below(0.8) with input as {"behaviour": {"score": 0.8}}
	not posture.risk_below(0.8) with input as {"behaviour": {}}
	not posture.risk_below(0.8) with input as {}
}

test_password_is_not_strong if {
	posture.strongly_authenticated with input as {"subject": {"authentication": "mfa"}}
	posture.strongly_authenticated with input as {"subject": {"authentication": "mtls"}}
	not posture.strongly_authenticated with input as {"subject": {"authentication": "password"}}
	not posture.strongly_authenticated with input as {"subject": {}}
}
