//! Real inputs, bent: JSON by its structure, anything else by its bytes.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use serde_json::Value;

/// What may stand where a real value stood, as JSON text; some of it is none.
const ODD: [&str; 34] = [
    "null",
    "true",
    "-1",
    "0",
    "\"0\"",
    "1.5",
    "1e999",
    "-0.0",
    "9223372036854775807",
    "\"9223372036854775808\"",
    "18446744073709551615",
    "\"18446744073709551615\"",
    "\"99999999999999999999999999\"",
    "\"-9223372036854775808\"",
    "\"\"",
    "\" 7 \"",
    "\"\\u0000\\u001b[2J\\u202e\"",
    "\"\\ud800\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59.999999999Z\"",
    "\"-009999-01-01T00:00:00Z\"",
    "\"2024-02-30T25:61:61Z\"",
    "\"/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade\"",
    "\"/cosmos.gov.v1.MsgExecLegacyContent\"",
    "\"////\"",
    "\"CgE=\"",
    "\"====\"",
    "\"////////////////\"",
    "{}",
    "[]",
    "[[]]",
    "{\"height\":7,\"height\":8}",
    "{\"\":{\"\":{\"\":{\"\":{}}}}}",
    "nul",
];

/// One change to a JSON text. Numbers count its values from the outermost on.
#[derive(Debug, Clone)]
pub(crate) enum Bend {
    /// Something odd takes the place of a value.
    Odd(Index, &'static str),
    /// One value takes the place of another.
    Copy(Index, Index),
    /// A text of so many characters does.
    Long(Index, usize),
    /// So many brackets stand around it.
    Deep(Index, usize),
    /// It is gone, its key too.
    Gone(Index),
    /// It stands in its list so many times.
    Many(Index, usize),
}

pub(crate) fn bends() -> impl Strategy<Value = Vec<Bend>> {
    let at = any::<Index>;
    let bend = prop_oneof![
        6 => (at(), select(&ODD[..])).prop_map(|(at, odd)| Bend::Odd(at, odd)),
        2 => (at(), at()).prop_map(|(at, from)| Bend::Copy(at, from)),
        1 => (at(), 1_000_usize..100_000).prop_map(|(at, length)| Bend::Long(at, length)),
        1 => (at(), 1_usize..300).prop_map(|(at, depth)| Bend::Deep(at, depth)),
        2 => at().prop_map(Bend::Gone),
        1 => (at(), 2_usize..300).prop_map(|(at, times)| Bend::Many(at, times)),
    ];
    vec(bend, 0..5)
}

/// The text with these changes, or as it is where it is no JSON.
pub(crate) fn json(text: &str, bends: &[Bend]) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    let mut raw = Vec::new();
    for bend in bends {
        let count = count(&value);
        let mark = |raw: &mut Vec<String>, text: String| {
            raw.push(text);
            Value::String(format!("<raw {}>", raw.len() - 1))
        };
        match bend {
            Bend::Odd(at, odd) => *nth(&mut value, at.index(count)) = mark(&mut raw, (*odd).to_owned()),
            Bend::Copy(at, from) => {
                let copied = nth(&mut value, from.index(count)).clone();
                *nth(&mut value, at.index(count)) = copied;
            }
            Bend::Long(at, length) => *nth(&mut value, at.index(count)) = Value::String("ü\u{7}x".repeat(length / 3)),
            Bend::Deep(at, depth) => {
                *nth(&mut value, at.index(count)) = mark(&mut raw, "[".repeat(*depth) + &"]".repeat(*depth));
            }
            Bend::Gone(at) => remove(&mut value, at.index(count)),
            Bend::Many(at, times) => {
                if let Value::Array(list) = nth(&mut value, at.index(count)) {
                    *list = list.iter().cloned().cycle().take(list.len() * times).take(3_000).collect();
                }
            }
        }
    }
    let mut text = value.to_string();
    for (number, odd) in raw.iter().enumerate() {
        text = text.replace(&format!("\"<raw {number}>\""), odd);
    }
    text
}

fn children(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum::<usize>(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

fn nth(value: &mut Value, mut number: usize) -> &mut Value {
    if number == 0 {
        return value;
    }
    number -= 1;
    for child in children(value) {
        let size = count(child);
        if number < size {
            return nth(child, number);
        }
        number -= size;
    }
    unreachable!("the number is one of its values")
}

fn remove(value: &mut Value, number: usize) {
    let mut next = 1;
    let mut is_it = |child: &Value| {
        let found = next == number;
        next += count(child);
        found
    };
    match value {
        Value::Array(list) => list.retain(|child| !is_it(child)),
        Value::Object(fields) => fields.retain(|_, child| !is_it(child)),
        _ => return,
    }
    let mut start = 1;
    for child in children(value) {
        let size = count(child);
        if (start + 1..start + size).contains(&number) {
            return remove(child, number - start);
        }
        start += size;
    }
}

/// One change to bytes.
#[derive(Debug, Clone)]
pub(crate) enum Cut {
    Flip(Index, u8),
    Write(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    End(Index),
}

pub(crate) fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let at = any::<Index>;
    let odd = prop_oneof![
        vec(any::<u8>(), 1..9),
        select(vec![
            vec![0xff; 4],
            vec![0xff; 10],
            vec![0; 4],
            vec![0x80; 9],
            b"\x01\x00\x00\x80".to_vec(),
            b"PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff".to_vec(),
            b"PK\x01\x02".to_vec(),
            b"../../../x\0".to_vec(),
            b"77777777777\0".to_vec(),
            b"\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        ]),
    ];
    let cut = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, bits)| Cut::Flip(at, bits)),
        4 => (at(), odd.clone()).prop_map(|(at, bytes)| Cut::Write(at, bytes)),
        2 => (at(), odd).prop_map(|(at, bytes)| Cut::Insert(at, bytes)),
        2 => (at(), 1_usize..600).prop_map(|(at, length)| Cut::Remove(at, length)),
        1 => (at(), 1_usize..600, 2_usize..20).prop_map(|(at, length, times)| Cut::Repeat(at, length, times)),
        1 => at().prop_map(Cut::End),
    ];
    vec(cut, 0..6)
}

/// The bytes with these changes.
pub(crate) fn bytes(bytes: &[u8], cuts: &[Cut]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for cut in cuts {
        let size = bytes.len();
        let place = |at: &Index| at.index(size + 1);
        match cut {
            Cut::Flip(at, bits) => {
                if let Some(byte) = bytes.get_mut(place(at)) {
                    *byte ^= bits;
                }
            }
            Cut::Write(at, odd) => bytes[place(at)..].iter_mut().zip(odd).for_each(|(byte, odd)| *byte = *odd),
            Cut::Insert(at, odd) => drop(bytes.splice(place(at)..place(at), odd.iter().copied())),
            Cut::Remove(at, length) => drop(bytes.drain(place(at)..size.min(place(at) + length))),
            Cut::Repeat(at, length, times) => {
                let part = bytes[place(at)..size.min(place(at) + length)].repeat(*times);
                bytes.splice(place(at)..place(at), part);
            }
            Cut::End(at) => bytes.truncate(place(at)),
        }
    }
    bytes
}
