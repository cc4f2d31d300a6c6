//! Addresses of a store as a URL.

use super::options::{Address, RedisOptions, RedisOptionsError, RedisTls, Secret};

const DEFAULT_PORT: u16 = 6379;
/// What an error suggests to write.
const FORMS: &str = "write `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, \
                     `redis+cluster://host:port,host:port` or `rediss+cluster://` for a Cluster";

/// Reads a URL. Errors repeat no part of it that may hold a password.
pub(super) fn parse(url: &str) -> Result<RedisOptions, RedisOptionsError> {
    let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| wrong("has no scheme"))?;
    let (tls, cluster) = match scheme {
        "redis" | "valkey" => (false, false),
        "rediss" | "valkeys" => (true, false),
        "redis+cluster" | "valkey+cluster" => (false, true),
        "rediss+cluster" | "valkeys+cluster" => (true, true),
        _ => return Err(wrong("has an unknown scheme")),
    };
    if rest.contains(['?', '#']) {
        return Err(wrong(
            "has a query or fragment; options are settings of their own, and `?` or `#` of a password must \
             be percent-encoded",
        ));
    }
    // A password may hold a raw `@`: the last one ends it.
    let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
    let (hosts, db) = place.split_once('/').map_or((place, ""), |(hosts, db)| (hosts, db));
    let db = match db {
        "" => 0,
        db => db.parse().map_err(|_| wrong("has a database that is no number"))?,
    };
    let (username, password) = credentials(user)?;
    let options = RedisOptions {
        addresses: hosts.split(',').map(address).collect::<Result<_, _>>()?,
        cluster,
        tls: tls.then(RedisTls::default),
        username,
        password,
        db,
        ..RedisOptions::default()
    };
    options.validate()?;
    Ok(options)
}

fn credentials(user: Option<&str>) -> Result<(Option<String>, Option<Secret>), RedisOptionsError> {
    let Some(user) = user else { return Ok((None, None)) };
    let (name, password) = user.split_once(':').map_or((user, None), |(name, word)| (name, Some(word)));
    let name = decode(name)?;
    let password = password.map(decode).transpose()?.filter(|word| !word.is_empty());
    Ok(((!name.is_empty()).then_some(name), password.map(Secret::new)))
}

fn address(text: &str) -> Result<Address, RedisOptionsError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| wrong("has `[` without `]`"))?;
            (host, port.strip_prefix(':').filter(|port| !port.is_empty()))
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    if host.is_empty() || !host.bytes().all(fits) {
        return Err(wrong("has a host that is empty or no name"));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(wrong("has a port that is not 1 to 65535")),
        },
    };
    Ok(Address { host: host.to_owned(), port })
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, RedisOptionsError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(wrong("has `%` without two hexadecimal digits in the user or password"));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(0));
    }
    String::from_utf8(bytes).map_err(|_| wrong("has a user or password that is not UTF-8"))
}

fn wrong(what: &str) -> RedisOptionsError {
    RedisOptionsError::new("url", format!("{what}; {FORMS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_says_where_the_store_is() {
        let options = parse("rediss+cluster://app:p%40ss@a.example:7000,b.example,[::1]:7001").unwrap();
        let places: Vec<String> = options.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(places, ["a.example:7000", "b.example:6379", "[::1]:7001"]);
        assert!(options.cluster && options.tls.is_some());
        assert_eq!(options.username.as_deref(), Some("app"));
        assert_eq!(options.password.as_ref().map(Secret::reveal), Some("p@ss"));

        let options = parse("redis://:word@localhost/3").unwrap();
        assert_eq!((options.username, options.db, options.cluster), (None, 3, false));
    }

    #[test]
    fn a_wrong_url_names_the_fix_and_never_the_password() {
        let urls = [
            "localhost:6379",
            "http://user:opensesame@host",
            "redis://user:opensesame@host:0",
            "redis://user:opensesame@host:99999",
            "redis://user:opensesame@",
            "redis://user:opensesame@host/x",
            "redis://user:opensesame%2@host",
            "redis://user:opensesame?@host",
            "redis://user:opensesame@a,b",
            "redis+cluster://user:opensesame@a,b/1",
            "redis://user@host",
            "redis://user:opensesame@ho st",
        ];
        for url in urls {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.starts_with("`url`: ") && error.contains(';'), "{url}: {error}");
            assert!(!error.contains("opensesame"), "{error}");
        }
    }
}
