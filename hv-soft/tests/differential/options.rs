//! Command line.

pub(crate) struct Options {
    /// Text that a class's name contains.
    pub class: Option<String>,
    /// Instances of each class that do not end UNDEFINED.
    pub count: u64,
    /// One instance to replay.
    pub seed: Option<u64>,
    /// The seed of the run.
    pub run: u64,
    pub verbose: bool,
    pub list: bool,
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            class: None,
            count: 2000,
            seed: None,
            run: 0x6b69_6c6e,
            verbose: false,
            list: false,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--class" => options.class = Some(value()?),
                "--count" => options.count = number(&value()?, 10)?,
                "--seed" => options.seed = Some(number(&value()?, 16)?),
                "--run" => options.run = number(&value()?, 16)?,
                "--verbose" => options.verbose = true,
                "--list" => options.list = true,
                // What test runners pass to every test binary.
                "--exact" | "--nocapture" | "--quiet" | "-q" | "--show-output" => {}
                text if !text.starts_with('-') => options.class = Some(text.to_owned()),
                _ => return Err(format!("unknown argument {arg}")),
            }
        }
        Ok(options)
    }
}

fn number(text: &str, radix: u32) -> Result<u64, String> {
    u64::from_str_radix(text.trim_start_matches("0x"), radix)
        .map_err(|_| format!("{text} is not a number"))
}
