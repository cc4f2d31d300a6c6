//! Which server of a Cluster holds which slot.

use redis::Value;

use super::options::Address;

/// Ranges of slots and their primaries, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots(Vec<(u16, u16, Address)>);

impl Slots {
    /// Reads the answer to `CLUSTER SLOTS`; a server that does not know its own name is at `asked`.
    pub(super) fn read(answer: &Value, asked: &Address) -> Option<Self> {
        let Value::Array(ranges) = answer else { return None };
        let mut slots: Vec<_> = ranges.iter().map(|range| read_range(range, asked)).collect::<Option<_>>()?;
        slots.sort_unstable_by_key(|&(from, _, _)| from);
        Some(Self(slots))
    }

    pub(super) fn primary(&self, slot: u16) -> Option<&Address> {
        let place = self.0.partition_point(|&(from, _, _)| from <= slot).checked_sub(1)?;
        self.0.get(place).filter(|&&(_, to, _)| slot <= to).map(|(_, _, address)| address)
    }

    pub(super) fn primaries(&self) -> impl Iterator<Item = &Address> {
        self.0.iter().map(|(_, _, address)| address)
    }
}

fn read_range(range: &Value, asked: &Address) -> Option<(u16, u16, Address)> {
    let Value::Array(parts) = range else { return None };
    let [from, to, primary, ..] = parts.as_slice() else { return None };
    let Value::Array(primary) = primary else { return None };
    let [host, port, ..] = primary.as_slice() else { return None };
    let host: Option<String> = redis::from_redis_value_ref(host).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked.host.clone());
    let number = |value: &Value| redis::from_redis_value_ref::<u16>(value).ok();
    Some((number(from)?, number(to)?, Address { host, port: number(port)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64, host: &str, port: i64) -> Value {
        let primary = Value::Array(vec![Value::BulkString(host.into()), Value::Int(port)]);
        Value::Array(vec![Value::Int(from), Value::Int(to), primary])
    }

    #[test]
    fn a_slot_leads_to_its_primary_and_a_gap_to_none() {
        let asked = Address { host: "asked".into(), port: 1 };
        let answer =
            Value::Array(vec![range(100, 200, "b", 2), range(0, 99, "", 3), range(300, 300, "c", 4)]);
        let slots = Slots::read(&answer, &asked).unwrap();
        let port = |slot| slots.primary(slot).map(|address| address.port);
        assert_eq!([port(0), port(99), port(100), port(200)], [Some(3), Some(3), Some(2), Some(2)]);
        assert_eq!([port(201), port(300), port(16383)], [None, Some(4), None]);
        assert_eq!(slots.primary(0).unwrap().host, "asked");
        assert_eq!(Slots::read(&Value::Nil, &asked), None);
    }
}
