//! For tests of types that are saved.

use std::fmt::Debug;

use ciborium::Value;

use crate::{Saved, state};

/// Checks that every field of a saved type comes back: puts random values into every field of `seed`, one after the other,
/// encodes what that makes, and compares. Fields are found in the encoding, and must be all that the type's `Debug` shows.
///
/// # Panics
/// When a field does not come back.
pub fn check_every_field<T: Saved + PartialEq + Debug>(seed: &T, random: &mut dyn FnMut() -> u128) {
    let mut value = encode(seed);
    for field in fields(seed) {
        let encoded =
            value.as_map().into_iter().flatten().any(|(key, _)| key.as_text() == Some(&field));
        assert!(encoded, "{} does not save its field {field}", T::KIND);
    }
    let mut paths = Vec::new();
    leaves(&value, &mut Vec::new(), &mut paths);
    assert!(!paths.is_empty(), "{} saves nothing", T::KIND);
    for path in paths {
        let before = at(&mut value, &path).clone();
        // What the field's type can hold is not known here: the widest number that it takes counts.
        let filled = [128, 64, 32, 16, 8, 1].into_iter().find_map(|bits| {
            *at(&mut value, &path) = another(&before, bits, random)?;
            decode::<T>(&value)
        });
        match filled {
            Some(filled) => assert_eq!(encode(&filled), value, "{}: a field at {path:?}", T::KIND),
            // The name of a variant, which is not everybody's.
            None => *at(&mut value, &path) = before,
        }
    }
    let all: T = decode(&value).expect("decoded before");
    let bytes = state::to_cbor("test", &all).expect("encodes");
    assert_eq!(state::from_cbor::<T>("test", &bytes).expect("decodes"), all);
}

/// Numbers that look random, the same for the same seed: SplitMix64 (Steele, Lea, Flood 2014), twice for each.
pub fn random(seed: u64) -> impl FnMut() -> u128 {
    let mut state = seed;
    let mut word = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    move || u128::from(word()) << 64 | u128::from(word())
}

fn encode<T: Saved>(value: &T) -> Value {
    Value::serialized(value).expect("a saved type encodes")
}

fn decode<T: Saved>(value: &Value) -> Option<T> {
    let bytes = state::to_cbor("test", value).expect("a value encodes");
    state::from_cbor("test", &bytes).ok()
}

/// The names of the fields of a struct, as its `Debug` has them.
fn fields<T: Debug>(value: &T) -> Vec<String> {
    let text = format!("{value:#?}");
    let names = text.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
    names.filter(|(name, _)| !name.starts_with(' ')).map(|(name, _)| name.to_owned()).collect()
}

/// Where the values are that hold no others.
fn leaves(value: &Value, path: &mut Vec<usize>, into: &mut Vec<Vec<usize>>) {
    let within: Vec<&Value> = match value {
        Value::Array(values) => values.iter().collect(),
        Value::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
        _ => return into.push(path.clone()),
    };
    for (index, value) in within.into_iter().enumerate() {
        path.push(index);
        leaves(value, path, into);
        path.pop();
    }
}

fn at<'a>(value: &'a mut Value, path: &[usize]) -> &'a mut Value {
    path.iter().fold(value, |value, &index| match value {
        Value::Array(values) => &mut values[index],
        Value::Map(entries) => &mut entries[index].1,
        _ => unreachable!("a path leads through what holds others"),
    })
}

/// Another value of the same kind, of so many bits.
fn another(value: &Value, bits: u32, random: &mut dyn FnMut() -> u128) -> Option<Value> {
    let number = random() >> (128 - bits);
    match value {
        Value::Integer(_) => Value::serialized(&number).ok(),
        Value::Bool(value) => Some(Value::Bool(!value)),
        Value::Text(_) => Some(Value::Text(format!("{number:x}"))),
        Value::Bytes(_) => Some(Value::Bytes(number.to_le_bytes().into())),
        Value::Float(_) => Some(Value::Float((number as f32).into())),
        Value::Tag(_, _) => Value::serialized(&number).ok(),
        _ => None,
    }
}
