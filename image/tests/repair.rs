//! Stores whose files were damaged behind kiln's back: what is wrong is seen, and a pull repairs it.

mod common;

use std::path::{Path, PathBuf};

use common::tars::{self, Tar};
use common::{layers, layout, pull};
use image::{Image, Platform, Reference, Store};

/// The only file in a directory of the store whose content begins like that.
fn blob(home: &Path, start: &[u8]) -> PathBuf {
    let files = std::fs::read_dir(home.join("images/blobs/sha256")).unwrap();
    let mut files = files.map(|entry| entry.unwrap().path());
    files.find(|path| std::fs::read(path).unwrap().starts_with(start)).unwrap()
}

#[test]
fn a_pull_replaces_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let base = Tar::default().add(tars::dir("d/"), b"").add(tars::file("d/f"), &[7; 100_000]);
    let top = Tar::default().add(tars::link("g", "d/f"), b"");
    let (base, top) = (base.write(dir.path(), "0.tar"), top.write(dir.path(), "1.tar"));
    let name = layout(dir.path(), &[&base, &top]);
    let reference: Reference = name.parse().unwrap();
    let home = dir.path().join("home");
    let store = Store::open(&home).unwrap();
    let image = pull(&store, &name).unwrap();
    let tree = layers::merged(&image);
    let paths: Vec<PathBuf> = image.layers.iter().map(|layer| layer.path.clone()).collect();
    drop(image);
    let get = || -> Option<Image> { store.get(&reference, &Platform::guest()).unwrap() };

    let cut = |path: &Path| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 4096).unwrap();
    };
    let empty = |path: &Path| std::fs::write(path, b"").unwrap();
    let overwrite = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[0x400..0x480].fill(0);
        std::fs::write(path, bytes).unwrap();
    };
    let change = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, text.replace("arm64", "amd64").replace("layers", "LAYERS")).unwrap();
    };
    let (config, manifest) = (blob(&home, b"{\"created\""), blob(&home, b"{\"schemaVersion\""));
    type Damage<'a> = (&'a Path, &'a dyn Fn(&Path));
    let all: [Damage<'_>; 8] = [
        (&paths[0], &cut),
        (&paths[0], &empty),
        (&paths[0], &overwrite),
        (&paths[1], &cut),
        (&config, &change),
        (&config, &empty),
        (&manifest, &change),
        (&manifest, &empty),
    ];
    for (path, damage) in all {
        damage(path);
        assert!(get().is_none(), "{path:?}");
        assert!(!store.verify().unwrap().damage.is_empty(), "{path:?}");
        let image = pull(&store, &name).unwrap();
        assert_eq!(layers::merged(&image), tree, "{path:?}");
        assert!(store.verify().unwrap().damage.is_empty(), "{path:?}");
        assert!(get().is_some());
    }
}
