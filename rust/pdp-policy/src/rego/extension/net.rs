//! `net.cidr_contains` and `net.cidr_expand`, where an IPv4 address mapped into IPv6 counts as IPv4.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regorus::Value;

use super::{TOO_MANY_ELEMENTS, failed};

/// Host bits of the largest network that may be expanded.
const MAX_HOST_BITS: u32 = 16;

/// A network as its first address and the number of bits that vary.
#[derive(Clone, Copy)]
struct Network {
    first: u128,
    host_bits: u32,
    is_v4: bool,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let address: IpAddr = address.parse().ok()?;
        let prefix: u32 = prefix.parse().ok()?;
        let (bits, width, is_v4) = bits(address);
        let is_mapped = is_v4 && address.is_ipv6();
        let prefix = if is_mapped { prefix.checked_sub(96)? } else { prefix };
        let host_bits = width.checked_sub(prefix)?;
        let first = if host_bits >= u128::BITS { 0 } else { bits >> host_bits << host_bits };
        Some(Self { first, host_bits, is_v4 })
    }

    fn of_address(text: &str) -> Option<Self> {
        let (first, _, is_v4) = bits(text.parse().ok()?);
        Some(Self { first, host_bits: 0, is_v4 })
    }

    fn last(self) -> u128 {
        let varying = if self.host_bits >= u128::BITS { u128::MAX } else { (1 << self.host_bits) - 1 };
        self.first | varying
    }

    fn contains(self, other: Self) -> bool {
        self.is_v4 == other.is_v4 && self.first <= other.first && other.last() <= self.last()
    }
}

fn bits(address: IpAddr) -> (u128, u32, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32, true),
        IpAddr::V6(v6) => (u128::from(v6), 128, false),
    }
}

/// `net.cidr_contains(cidr, cidr_or_address)`.
pub(super) fn cidr_contains(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(outer), Value::String(inner)] = given else {
        return failed("net.cidr_contains takes two texts");
    };
    let Some(outer) = Network::parse(outer) else { return failed("not a network") };
    match Network::of_address(inner).or_else(|| Network::parse(inner)) {
        Some(inner) => Ok(Value::Bool(outer.contains(inner))),
        None => failed("neither a network nor an address"),
    }
}

/// `net.cidr_expand(cidr)`: the set of addresses in `cidr`.
pub(super) fn cidr_expand(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text)] = given else { return failed("net.cidr_expand takes a text") };
    let Some(network) = Network::parse(text) else { return failed("not a network") };
    if network.host_bits > MAX_HOST_BITS {
        anyhow::bail!("net.cidr_expand {TOO_MANY_ELEMENTS} of {}", 1_u32 << MAX_HOST_BITS);
    }
    let addresses: BTreeSet<Value> = (network.first..=network.last())
        .map(|bits| match u32::try_from(bits) {
            Ok(bits) if network.is_v4 => Value::from(Ipv4Addr::from(bits).to_string()),
            _ => Value::from(Ipv6Addr::from(bits).to_string()),
        })
        .collect();
    Ok(Value::from(addresses))
}
