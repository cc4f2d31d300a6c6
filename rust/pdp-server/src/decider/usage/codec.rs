//! The bytes of a usage token: numbers of seven bits a byte (LEB128), texts with their length before them.

use std::time::Duration;

use pdp_engine::Text;
use pdp_engine::limit::{Algorithm, Calendar, Counting, Limit, Outage, Period, Scope};

/// Writes a token.
pub(super) struct Writer(pub(super) Vec<u8>);

/// Reads a token; `None` where it does not have the form.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Writer {
    pub(super) fn flag(&mut self, flag: bool) {
        self.0.push(flag.into());
    }

    pub(super) fn number(&mut self, mut number: u64) {
        loop {
            let low = u8::try_from(number & 0x7f).unwrap_or_default();
            number >>= 7;
            if number == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    pub(super) fn option(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        if let Some(text) = text {
            self.text(text);
        }
    }

    /// A limit, without its name.
    pub(super) fn limit(&mut self, limit: &Limit) {
        match limit.algorithm {
            Algorithm::Gcra { burst } => {
                self.0.push(0);
                self.number(burst);
            }
            Algorithm::FixedWindow => self.0.push(1),
            Algorithm::SlidingWindow => self.0.push(2),
            Algorithm::Quota(Calendar { period, zone }) => {
                self.0.push(3);
                self.flag(period == Period::Month);
                self.text(zone.name());
            }
            Algorithm::Concurrency => self.0.push(4),
        }
        self.number(limit.limit);
        self.number(u64::try_from(limit.window.as_nanos()).unwrap_or(u64::MAX));
        self.number(match limit.counting {
            Counting::Exact => 0,
            Counting::Leased { most } => most,
        });
        self.flag(limit.scope == Scope::Estate);
        self.0.push(match limit.outage {
            Outage::Deny => 0,
            Outage::Local => 1,
            Outage::Allow => 2,
        });
    }
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn text(&mut self) -> Option<Text> {
        let length = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok().map(Text::from)
    }

    pub(super) fn option(&mut self) -> Option<Option<Text>> {
        if self.flag()? { self.text().map(Some) } else { Some(None) }
    }

    /// A limit of this name.
    pub(super) fn limit(&mut self, name: &Text) -> Option<Limit> {
        let algorithm = match self.byte()? {
            0 => Algorithm::Gcra { burst: self.number()? },
            1 => Algorithm::FixedWindow,
            2 => Algorithm::SlidingWindow,
            3 => {
                let period = if self.flag()? { Period::Month } else { Period::Day };
                Algorithm::Quota(Calendar { period, zone: self.text()?.parse().ok()? })
            }
            4 => Algorithm::Concurrency,
            _ => return None,
        };
        Some(Limit {
            name: name.clone(),
            algorithm,
            limit: self.number()?,
            window: Duration::from_nanos(self.number()?),
            counting: match self.number()? {
                0 => Counting::Exact,
                most => Counting::Leased { most },
            },
            scope: if self.flag()? { Scope::Estate } else { Scope::Tenant },
            outage: match self.byte()? {
                0 => Outage::Deny,
                1 => Outage::Local,
                2 => Outage::Allow,
                _ => return None,
            },
        })
    }
}
