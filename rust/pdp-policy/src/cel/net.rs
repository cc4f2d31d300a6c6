//! Network addresses, after the `network` extension of cel-spec.

use std::any::Any;
use std::net::IpAddr;

use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};

/// Type of an address.
pub(super) static IP_TYPE: Type = Type::new_unspecified_type("net.IP");
/// Type of a network.
pub(super) static CIDR_TYPE: Type = Type::new_unspecified_type("net.CIDR");

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ip(pub(super) IpAddr);

/// A network: an address, which may have host bits, and a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Ip {
    /// Reads an address. Zones and IPv4-mapped IPv6 addresses are refused, as in the extension:
    /// one address must not have two spellings that compare differently.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let address: IpAddr = text.parse().ok()?;
        match address {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => None,
            _ => Some(Self(address)),
        }
    }

    /// Whether the address is a global unicast address, in the sense of Go's `netip`:
    /// private ranges are, loopback, multicast, link-local and unspecified are not.
    pub(super) fn is_global_unicast(self) -> bool {
        let broadcast = matches!(self.0, IpAddr::V4(v4) if v4.is_broadcast());
        !(self.0.is_unspecified()
            || self.0.is_loopback()
            || self.0.is_multicast()
            || self.is_link_local_unicast()
            || broadcast)
    }

    /// 169.254.0.0/16 and fe80::/10.
    pub(super) fn is_link_local_unicast(self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
    }

    /// 224.0.0.0/24 and ff02::/16.
    pub(super) fn is_link_local_multicast(self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => matches!(v4.octets(), [224, 0, 0, _]),
            IpAddr::V6(v6) => v6.segments().first().is_some_and(|first| first & 0xff0f == 0xff02),
        }
    }

    /// 4 or 6.
    pub(super) fn family(self) -> i64 {
        if self.0.is_ipv4() { 4 } else { 6 }
    }
}

impl Cidr {
    /// Reads `address/length`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let Ip(address) = Ip::parse(address)?;
        let plain = !length.is_empty()
            && length.bytes().all(|b| b.is_ascii_digit())
            && (length == "0" || !length.starts_with('0'));
        let prefix: u8 = length.parse().ok().filter(|_| plain)?;
        (u32::from(prefix) <= bits(address)).then_some(Self { address, prefix })
    }

    /// The network with its host bits cleared.
    pub(super) fn masked(self) -> Self {
        Self { address: mask(self.address, self.prefix), prefix: self.prefix }
    }

    /// Whether `ip` lies in the network; never across families.
    pub(super) fn contains(self, Ip(ip): Ip) -> bool {
        ip.is_ipv4() == self.address.is_ipv4() && mask(ip, self.prefix) == self.masked().address
    }

    /// Whether the whole of `inner` lies in the network.
    pub(super) fn contains_network(self, inner: Self) -> bool {
        inner.prefix >= self.prefix && self.contains(Ip(inner.address))
    }
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

macro_rules! opaque {
    ($name:ident, $cel_type:ident) => {
        impl Val for $name {
            fn get_type(&self) -> &Type {
                &$cel_type
            }

            fn cel_type() -> &'static Type {
                &$cel_type
            }

            fn equals(&self, other: &dyn Val) -> bool {
                other.downcast_ref::<Self>() == Some(self)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
                Box::new(<Self as Clone>::clone(self))
            }

            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }

        impl StaticVal for $name {}
    };
}

opaque!(Ip, IP_TYPE);
opaque!(Cidr, CIDR_TYPE);
pub(super) use opaque;

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        Cidr::parse(text).unwrap()
    }

    fn ip(text: &str) -> Ip {
        Ip::parse(text).unwrap()
    }

    #[test]
    fn network_holds_its_addresses_and_no_others() {
        assert!(cidr("10.0.0.0/8").contains(ip("10.255.0.1")));
        assert!(!cidr("10.0.0.0/8").contains(ip("11.0.0.1")));
        assert!(cidr("0.0.0.0/0").contains(ip("1.2.3.4")));
        assert!(!cidr("0.0.0.0/0").contains(ip("::1")));
        assert!(cidr("2001:db8::/32").contains(ip("2001:db8:1::")));
        assert!(cidr("10.0.0.0/8").contains_network(cidr("10.1.0.0/16")));
        assert!(!cidr("10.1.0.0/16").contains_network(cidr("10.0.0.0/8")));
    }

    #[test]
    fn second_spellings_of_an_address_are_refused() {
        for text in ["::ffff:10.0.0.1", "fe80::1%eth0", "010.0.0.1", "10.0.0.1 ", "10.1"] {
            assert_eq!(Ip::parse(text), None, "{text}");
        }
        for text in ["10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0", "10.0.0.0/", "::/129"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}
