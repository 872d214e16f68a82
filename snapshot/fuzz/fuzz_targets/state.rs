//! Arbitrary bodies of the state file under a right length and checksum.
#![no_main]

use std::{fs, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use snapshot::{Fingerprint, Invalid, Saved, Snapshot};

#[derive(serde::Serialize, serde::Deserialize)]
struct Any {
    value: Option<u64>,
    list: Option<Vec<u32>>,
    text: Option<String>,
}

impl Saved for Any {
    const KIND: &'static str = "any";
    const VERSION: u32 = 1;

    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

static HOME: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = home.path().join("s");
    let mut writer = snapshot::Writer::create(&path, &Fingerprint::default()).unwrap();
    let any = Any { value: Some(1), list: Some(vec![1]), text: Some("a".into()) };
    writer.put("a", &any).unwrap();
    writer.memory(&mut [0u8; 16 << 10].as_slice()).unwrap();
    writer.commit().unwrap();
    home
});
static GOOD: LazyLock<Vec<u8>> =
    LazyLock::new(|| fs::read(HOME.path().join("s/state")).unwrap());

fuzz_target!(|data: &[u8]| {
    // Even inputs replace the body, odd ones edit the good file: (position, value) pairs.
    let mut state = GOOD[..GOOD.len() - 32].to_vec();
    match data.split_first() {
        Some((first, rest)) if first % 2 == 0 => state.splice(40.., rest.iter().copied()).for_each(drop),
        Some((_, rest)) => {
            for edit in rest.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % state.len();
                state[at] = edit[2];
            }
        }
        None => return,
    }
    let len = state.len() as u64 + 32;
    state[32..40].copy_from_slice(&len.to_le_bytes());
    let hash = blake3::hash(&state);
    state.extend(hash.as_bytes());
    let path = HOME.path().join("s");
    fs::write(path.join("state"), &state).unwrap();
    if let Ok(snapshot) = Snapshot::open(&path) {
        let names: Vec<String> = snapshot.records().map(|r| r.0.to_string()).collect();
        for name in names {
            let _ = snapshot.get::<Any>(&name);
        }
        let _ = snapshot.fits(&Fingerprint::default());
        let _ = snapshot.verify();
    }
});
