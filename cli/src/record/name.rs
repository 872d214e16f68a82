//! Names for machines.

use anyhow::bail;

/// Docker's rule: a letter or digit, then letters, digits, `_`, `.` and `-`, two at least.
///
/// # Errors
/// A sentence that says what a name may be.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let starts_well = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if starts_well && (2..=128).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    bail!(
        "{name:?} cannot be a name: it starts with a letter or digit, and 1 to 127 letters, digits, '_', '.' or '-' follow"
    )
}

/// A name that is easy to say.
pub(crate) fn random_name() -> anyhow::Result<String> {
    const QUALITIES: [&str; 32] = [
        "amber", "brave", "bright", "calm", "clever", "cosy", "deft", "eager", "fair", "firm",
        "gentle", "glad", "glazed", "hardy", "honest", "keen", "kind", "light", "lively", "merry",
        "mild", "neat", "patient", "plain", "proud", "quick", "quiet", "ready", "solid", "steady",
        "swift", "warm",
    ];
    const POTTERS: [&str; 32] = [
        "adams",
        "artigas",
        "bernard",
        "caiger",
        "cardew",
        "castle",
        "coper",
        "davis",
        "duckworth",
        "frith",
        "gilbert",
        "hamada",
        "heino",
        "hamlyn",
        "karnes",
        "kawai",
        "leach",
        "lewis",
        "martinez",
        "natzler",
        "odundo",
        "ohr",
        "palissy",
        "perry",
        "pleydell",
        "rie",
        "soldner",
        "spode",
        "takaezu",
        "voulkos",
        "wedgwood",
        "wildenhain",
    ];
    let mut random = [0; 3];
    random_bytes(&mut random)?;
    let [quality, potter, digits] = random.map(usize::from);
    Ok(format!("{}_{}{}", QUALITIES[quality % 32], POTTERS[potter % 32], digits % 100))
}

/// 64 hexadecimal digits.
pub(crate) fn random_id() -> anyhow::Result<String> {
    let mut random = [0; 32];
    random_bytes(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random_bytes(into: &mut [u8]) -> anyhow::Result<()> {
    getrandom::fill(into)?;
    Ok(())
}
