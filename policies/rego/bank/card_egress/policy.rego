# METADATA
# title: Card numbers on their way out
# description: |
#   A card number goes in the clear only to the token vault and, encrypted, to an
#   acquirer. Inside the estate it is masked; outside it is blocked.
# schemas:
#   - input: schema.input
package bank.card_egress

import data.bank_estate

# METADATA
# title: Allow the vault
# description: The one place that stores card numbers.
allow if vault

# METADATA
# title: Allow an acquirer
# description: PCI DSS 4.2.1. Strong cryptography on open networks.
allow if acquirer_encrypted

# METADATA
# title: Allow inside the estate
# description: Functions and services get the payload with card numbers masked.
allow if inside

# METADATA
# title: Allow what holds no card number
# description: Other data is not this policy's to judge.
allow if not holds_card

# METADATA
# title: Card number on its way out
# description: PCI DSS 3.4. Neither the vault, nor an acquirer over an encrypted connection, nor inside.
deny contains {"code": "card_leaves", "message": "a card number may not leave for this destination"} if {
	holds_card
	not vault
	not acquirer_encrypted
	not inside
}

# METADATA
# title: Masked card numbers
# description: PCI DSS 3.4.1. Whoever is not the vault or an acquirer sees masked numbers.
obligations contains {"type": "mask", "detectors": ["card_number"]} if {
	holds_card
	not vault
	not acquirer_encrypted
}

vault if {
	input.destination.id in bank_estate.vaults
	input.destination.kind == "function"
}

acquirer_encrypted if {
	input.destination.id in bank_estate.acquirers
	input.transport.encrypted == true
	input.transport.tls_version in {"1.2", "1.3"}
}

inside if input.destination.kind in {"function", "service"}

holds_card if {
	some finding in input.payload.findings
	finding.detector == "card_number"
}
