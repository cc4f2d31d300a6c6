//! Listening sockets: bound before any thread starts, so that a port in use is known at once.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 1024;

/// An address that cannot be listened on. One line: key, address, fix.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` is `{address}`: {}", cause(.source))]
pub struct BindError {
    /// Key of the configuration.
    pub key: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use; stop its owner or choose another port".to_owned(),
        io::ErrorKind::PermissionDenied => "the port needs a privilege; choose one from 1024 on".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address".to_owned(),
        _ => error.to_string(),
    }
}

/// Binds and listens. One socket for all request threads: with `SO_REUSEPORT`
/// a second server could take the same port unnoticed, and a few long-lived
/// connections would be spread unevenly.
pub(crate) fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|source| BindError { key, address, source })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_in_use_names_key_and_address() {
        let first = bind("listen", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind("listen", address).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(
            error.to_string(),
            format!("`listen` is `{address}`: the port is in use; stop its owner or choose another port")
        );
    }
}
