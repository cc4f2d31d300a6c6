# METADATA
# title: Access to the shop's payments
# description: |
#   Who may read, create, capture and refund payments: a role that grants the
#   action, the subject's own tenant, a trusted device, a trading country and an
#   ordinary behaviour score. A doubtful score costs a step-up.
# schemas:
#   - input: schema.input
package shop.payments_access

import data.lib.posture
import data.shop_estate

# METADATA
# title: Allow
# description: Every condition holds. A missing fact satisfies none of them.
allow if {
	same_tenant
	granted
	posture.trusted_device
	posture.in_country(shop_estate.trading_countries)
	posture.risk_below(shop_estate.risk.deny_from)
	refund_is_covered
}

# METADATA
# title: Foreign tenant
# description: The subject belongs to no tenant or to another one.
deny contains {"code": "foreign_tenant", "message": "the subject belongs to another tenant"} if {
	not same_tenant
}

# METADATA
# title: Hostile behaviour
# description: The behaviour score has reached the bound, whatever the role.
deny contains {"code": "behaviour_risk", "message": "recent behaviour is too risky for payments"} if {
	input.behaviour.score >= shop_estate.risk.deny_from
}

# METADATA
# title: Device that fails its posture policy
# description: Said apart from a mere lack of permission, so that the user can mend it.
deny contains {"code": "device_not_compliant", "message": "the device fails its posture policy"} if {
	input.device.compliant == false
}

# METADATA
# title: Step-up
# description: A doubtful score needs a second factor before the payment goes on.
obligations contains {"type": "step_up", "method": "mfa"} if {
	input.behaviour.score >= shop_estate.risk.step_up_from
	not posture.strongly_authenticated
}

# METADATA
# title: Encrypted transport
# description: Payment data travels encrypted.
obligations contains {"type": "require_encryption", "minimum_tls": "1.2"} if granted

same_tenant if input.subject.attributes.tenant == input.tenant

granted if {
	some role in input.subject.roles
	input.action in shop_estate.grants[role]
}

# A refund over the bound takes a strong login; everything else takes what `granted` asks.
refund_is_covered if input.action != "payments:refund"

refund_is_covered if input.resource.attributes.amount_cents <= shop_estate.large_refund_cents

refund_is_covered if posture.strongly_authenticated
