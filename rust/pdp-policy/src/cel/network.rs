//! The functions of the `network` extension, and `network`, which is our own.

use std::net::IpAddr;

use cel::common::types::{CelBool, CelInt, CelString};
use cel::{DeclarationError, Env, ExecutionError};

use super::function::fault;
use super::net::{CIDR_TYPE, Cidr, IP_TYPE, Ip};

/// Adds them to `env`.
pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(IP_TYPE.to_owned())?;
    env.add_type(CIDR_TYPE.to_owned())?;
    cel::add_overload!(env, fn ip: (CelString) -> Result<Ip>)?;
    cel::add_overload!(env, fn cidr: (CelString) -> Result<Cidr>)?;
    cel::add_overload!(env, fn is_ip: (CelString) -> CelBool, name = "isIP")?;
    cel::add_overload!(env, fn is_cidr: (CelString) -> CelBool, name = "isCIDR")?;
    cel::add_overload!(env, fn is_canonical: (CelString) -> Result<CelBool>, name = "ip.isCanonical")?;
    cel::add_overload!(env, fn network: (CelString, CelInt, CelInt) -> Result<CelString>)?;
    cel::add_overload!(env, fn ip_text: (Ip) -> CelString, name = "string")?;
    cel::add_overload!(env, fn cidr_text: (Cidr) -> CelString, name = "string")?;
    cel::add_member_overload!(env, fn family: (Ip) -> CelInt)?;
    cel::add_member_overload!(env, fn is_unspecified: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_loopback: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_global_unicast: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_link_local_multicast: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn is_link_local_unicast: (Ip) -> CelBool)?;
    cel::add_member_overload!(env, fn contains_ip: (Cidr, Ip) -> CelBool, name = "containsIP")?;
    cel::add_member_overload!(env, fn contains_text: (Cidr, CelString) -> Result<CelBool>,
        name = "containsIP")?;
    cel::add_member_overload!(env, fn contains_cidr: (Cidr, Cidr) -> CelBool, name = "containsCIDR")?;
    cel::add_member_overload!(env, fn contains_cidr_text: (Cidr, CelString) -> Result<CelBool>,
        name = "containsCIDR")?;
    cel::add_member_overload!(env, fn address: (Cidr) -> Ip, name = "ip")?;
    cel::add_member_overload!(env, fn masked: (Cidr) -> Cidr)?;
    cel::add_member_overload!(env, fn prefix_length: (Cidr) -> CelInt)
}

fn ip(text: &CelString<'_>) -> Result<Ip, ExecutionError> {
    Ip::parse(text.inner()).ok_or_else(|| fault("ip", "not an IP address".to_owned()))
}

fn cidr(text: &CelString<'_>) -> Result<Cidr, ExecutionError> {
    Cidr::parse(text.inner()).ok_or_else(|| fault("cidr", "not a network in CIDR notation".to_owned()))
}

fn is_ip(text: &CelString<'_>) -> CelBool {
    CelBool::from(Ip::parse(text.inner()).is_some())
}

fn is_cidr(text: &CelString<'_>) -> CelBool {
    CelBool::from(Cidr::parse(text.inner()).is_some())
}

fn is_canonical(text: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(CelBool::from(ip(text)?.0.to_string() == text.inner()))
}

/// The network of an address as text in CIDR notation: of `v4` bits for IPv4, of `v6` for IPv6. An IPv4
/// address written as IPv6 is IPv4: it must not count under another network.
fn network(text: &CelString<'_>, v4: &CelInt, v6: &CelInt) -> Result<CelString<'static>, ExecutionError> {
    let refuse = |message: &str| fault("network", message.to_owned());
    let address: IpAddr = text.inner().parse().map_err(|_| refuse("not an IP address"))?;
    let address = address.to_canonical();
    let (prefix, most) = if address.is_ipv4() { (v4, 32) } else { (v6, 128) };
    let prefix = u8::try_from(*prefix.inner()).ok().filter(|prefix| *prefix <= most);
    let prefix = prefix.ok_or_else(|| refuse("a prefix has 0 to 32 bits for IPv4, 0 to 128 for IPv6"))?;
    Ok(cidr_text(&Cidr { address, prefix }.masked()))
}

fn ip_text(ip: &Ip) -> CelString<'static> {
    ip.0.to_string().into()
}

fn cidr_text(cidr: &Cidr) -> CelString<'static> {
    format!("{}/{}", cidr.address, cidr.prefix).into()
}

fn family(ip: &Ip) -> CelInt {
    CelInt::from(ip.family())
}

fn is_unspecified(ip: &Ip) -> CelBool {
    CelBool::from(ip.0.is_unspecified())
}

fn is_loopback(ip: &Ip) -> CelBool {
    CelBool::from(ip.0.is_loopback())
}

fn is_global_unicast(ip: &Ip) -> CelBool {
    CelBool::from(ip.is_global_unicast())
}

fn is_link_local_multicast(ip: &Ip) -> CelBool {
    CelBool::from(ip.is_link_local_multicast())
}

fn is_link_local_unicast(ip: &Ip) -> CelBool {
    CelBool::from(ip.is_link_local_unicast())
}

fn contains_ip(network: &Cidr, address: &Ip) -> CelBool {
    CelBool::from(network.contains(*address))
}

fn contains_text(network: &Cidr, address: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(CelBool::from(network.contains(ip(address)?)))
}

fn contains_cidr(network: &Cidr, inner: &Cidr) -> CelBool {
    CelBool::from(network.contains_network(*inner))
}

fn contains_cidr_text(network: &Cidr, inner: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(CelBool::from(network.contains_network(cidr(inner)?)))
}

fn address(network: &Cidr) -> Ip {
    Ip(network.address)
}

fn masked(network: &Cidr) -> Cidr {
    network.masked()
}

fn prefix_length(network: &Cidr) -> CelInt {
    CelInt::from(i64::from(network.prefix))
}
