//! What `rejoin token` takes, and how a client says who it is.
//!
//! Invariant: no secret stands on a command line, only the name of the file that it is in.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

const DAY_S: u64 = 24 * 60 * 60;
/// The longest that a token may be made for: ten years.
const LIFE_DAYS_MAX: u64 = 3_650;

/// By what the caller is known.
#[derive(Debug, Clone, Default, Args)]
pub struct Credential {
    /// File with the token that says who asks, readable by its owner alone; the variable REJOIN_TOKEN may hold the
    /// token itself.
    #[arg(long, global = true, env = "REJOIN_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Draw a token, and say what to put into the access file. It is shown once.
    New {
        /// Of whom it is; the access file says what he may do.
        name: String,
        /// How long it is taken: days (`90d`) or hours (`12h`) [default: until it is taken out of the file].
        #[arg(long, value_name = "TIME", value_parser = life)]
        expires: Option<Duration>,
        /// Write the token into this new file, readable by its owner alone, rather than show it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check an access file as a node would.
    Check { file: PathBuf },
}

fn life(text: &str) -> Result<Duration, String> {
    let seconds = |digits: &str, unit: u64| digits.parse::<u64>().ok()?.checked_mul(unit);
    let found = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => seconds(days, DAY_S),
        (_, Some(hours)) => seconds(hours, 60 * 60),
        _ => None,
    };
    match found {
        Some(found @ 1..) if found <= LIFE_DAYS_MAX * DAY_S => Ok(Duration::from_secs(found)),
        _ => Err(format!("give 1h to {LIFE_DAYS_MAX}d")),
    }
}
