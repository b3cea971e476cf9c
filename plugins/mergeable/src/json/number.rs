//! A JSON number as the exact decimal that it is.
//!
//! Does no arithmetic. Plain digits are used from 10^-6 to below 10^21, as JavaScript writes them; beyond
//! that one digit, the rest, and an exponent.
//!
//! Invariant: equal numbers have equal texts, whatever the spelling that was read.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// Integers of more digits are written with an exponent.
const PLAIN_DIGITS_MAX: i64 = 21;
/// Numbers below one with more zeros behind the point are written with an exponent.
const LEADING_ZEROS_MAX: i64 = 6;
/// Digits of an exponent: nobody counts that far, and sums of such exponents fit into 64 bits.
const EXPONENT_DIGITS_MAX: usize = 9;

/// Held as its canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number<'a>(Cow<'a, str>);

/// Sign, digits without zeros at either end, and the place of the point: 0.digits * 10^point.
struct Decimal {
    is_negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl<'a> Number<'a> {
    /// Takes a text that follows the grammar of JSON. None if the exponent is beyond nine digits.
    pub(super) fn from_token(token: &'a str) -> Option<Number<'a>> {
        let digits = token.strip_prefix('-').unwrap_or(token);
        let is_plain = digits.len() <= PLAIN_DIGITS_MAX as usize
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && token != "-0";
        if is_plain {
            return Some(Number(Cow::Borrowed(token)));
        }
        Some(Number(Cow::Owned(Decimal::read(token)?.text())))
    }

    /// The canonical text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The integer that this is, if it is one of 64 bits without sign.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// As in JSON Schema: `2.0` is an integer.
    pub fn is_integer(&self) -> bool {
        Decimal::read(&self.0).is_some_and(|decimal| decimal.point >= decimal.digits.len() as i64)
    }
}

impl From<u64> for Number<'_> {
    fn from(integer: u64) -> Self {
        Number(Cow::Owned(integer.to_string()))
    }
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0 == other.0 {
            return Ordering::Equal;
        }
        match (Decimal::read(&self.0), Decimal::read(&other.0)) {
            (Some(one), Some(other)) => one.compare(&other),
            // A canonical text can always be read; were it not so, the texts still give an order.
            _ => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Decimal {
    fn read(token: &str) -> Option<Decimal> {
        let (is_negative, token) = match token.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, exponent) = match token.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (token, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Decimal {
                is_negative: false,
                digits,
                point: 0,
            });
        }
        let point = whole.len() as i64 - leading as i64 + exponent;
        Some(Decimal {
            is_negative,
            digits,
            point,
        })
    }

    fn text(&self) -> String {
        let digits: String = self.digits.iter().map(|digit| char::from(*digit)).collect();
        let count = digits.len() as i64;
        let magnitude = if digits.is_empty() {
            "0".to_owned()
        } else if count <= self.point && self.point <= PLAIN_DIGITS_MAX {
            digits + &"0".repeat((self.point - count) as usize)
        } else if 0 < self.point && self.point <= PLAIN_DIGITS_MAX {
            let (whole, fraction) = digits.split_at(self.point as usize);
            format!("{whole}.{fraction}")
        } else if -LEADING_ZEROS_MAX < self.point && self.point <= 0 {
            format!("0.{}{digits}", "0".repeat(-self.point as usize))
        } else {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            format!("{first}{point}{rest}e{}", self.point - 1)
        };
        let sign = if self.is_negative { "-" } else { "" };
        format!("{sign}{magnitude}")
    }

    fn compare(&self, other: &Decimal) -> Ordering {
        let magnitude = || {
            // Zero has no digits, and is less than all that have.
            let rank = |decimal: &Decimal| (!decimal.digits.is_empty(), decimal.point);
            let by_size = rank(self).cmp(&rank(other));
            by_size.then_with(|| self.digits.cmp(&other.digits))
        };
        match (self.is_negative, other.is_negative) {
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let significant = digits.trim_start_matches('0');
    if significant.len() > EXPONENT_DIGITS_MAX {
        return None;
    }
    let magnitude: i64 = if significant.is_empty() {
        0
    } else {
        significant.parse().ok()?
    };
    Some(if text.starts_with('-') {
        -magnitude
    } else {
        magnitude
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(token: &str) -> String {
        Number::from_token(token).unwrap().text().to_owned()
    }

    #[test]
    fn each_number_has_one_text_however_it_is_spelt() {
        let spellings = [
            ("0", &["-0", "0.0", "0e7", "-0.000E-3"][..]),
            ("2", &["2.0", "2e0", "20e-1", "0.2E+1"]),
            ("-1.5", &["-1.50", "-15e-1"]),
            ("0.000001", &["1e-6", "10e-7"]),
            ("1e-7", &["0.0000001"]),
            ("100000000000000000000", &["1e20"]),
            ("1e21", &["1000000000000000000000", "10E20"]),
            ("1.25e21", &["1250000000000000000000"]),
            ("18446744073709551617", &["18446744073709551617.0"]),
        ];
        for (text, others) in spellings {
            assert_eq!(canonical(text), text);
            for other in others {
                assert_eq!(canonical(other), text, "{other}");
            }
        }
    }

    #[test]
    fn numbers_are_ordered_by_value_and_exactly() {
        let ascending = [
            "-1e400",
            "-10",
            "-9",
            "-0.5",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.11",
            "0.9",
            "1",
            "9",
            "10",
            "99.99",
            "100",
            "9007199254740992",
            "9007199254740993",
            "1e400",
        ];
        let numbers: Vec<Number> = ascending
            .iter()
            .map(|token| Number::from_token(token).unwrap())
            .collect();
        for (i, one) in numbers.iter().enumerate() {
            for (j, other) in numbers.iter().enumerate() {
                assert_eq!(one.cmp(other), i.cmp(&j), "{one} {other}");
            }
        }
    }

    #[test]
    fn an_exponent_beyond_nine_digits_is_no_number() {
        assert!(Number::from_token("1e1000000000").is_none());
        assert!(Number::from_token("1e-0000000000001").is_some());
    }

    #[test]
    fn whole_numbers_are_integers_in_any_spelling() {
        for (token, is_integer) in [
            ("2", true),
            ("2.0", true),
            ("0", true),
            ("1.5", false),
            ("1e30", true),
            ("1e-30", false),
        ] {
            assert_eq!(
                Number::from_token(token).unwrap().is_integer(),
                is_integer,
                "{token}"
            );
        }
        assert_eq!(Number::from_token("2.0").unwrap().as_u64(), Some(2));
        assert_eq!(Number::from_token("-2").unwrap().as_u64(), None);
    }
}
