//! From what a person typed to an election and to choices. Nothing is guessed: what fits twice is refused with a list.

use crate::chain::election::{Choices, ElectionId, Method, Terms};

/// Fewest hexadecimal digits of an id that count as its beginning.
pub const MIN_ID_DIGITS: usize = 4;

/// Why what was typed names nothing, or no valid ballot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No election fits.
    #[error("no election has the id or title '{0}'; `ballot elections` lists them")]
    NoElection(String),
    /// Several elections fit.
    #[error("'{text}' fits several elections; name one by its id:{}", list(ids))]
    SeveralElections {
        /// What was typed.
        text: String,
        /// What fits.
        ids: Vec<String>,
    },
    /// No option fits.
    #[error("no option is '{text}'; there are:{}", list(options))]
    NoOption {
        /// What was typed.
        text: String,
        /// What there is.
        options: Vec<String>,
    },
    /// Several options begin so.
    #[error("'{text}' begins several options:{}", list(options))]
    SeveralOptions {
        /// What was typed.
        text: String,
        /// What fits.
        options: Vec<String>,
    },
    /// The wrong number of options for the method.
    #[error("{0}")]
    Number(&'static str),
    /// The same option twice.
    #[error("the option '{0}' is named twice")]
    Twice(String),
    /// A method that this release cannot cast ballots for.
    #[error("ballots for the method '{0}' cannot be cast with this release")]
    Method(String),
}

/// Whether an election with this id and title is meant.
type Fits<'a> = &'a dyn Fn(&ElectionId, &str) -> bool;

fn list(items: &[String]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}

/// The election that `text` names among `elections`: by its id, its title, or the beginning of its id.
pub fn election<'a, I>(elections: I, text: &str) -> Result<ElectionId, SelectError>
where
    I: Iterator<Item = (ElectionId, &'a str)> + Clone,
{
    let text = text.trim();
    let lower = text.to_lowercase();
    let found = |fits: Fits<'_>| -> Vec<(ElectionId, &'a str)> {
        elections
            .clone()
            .filter(|(id, title)| fits(id, title))
            .collect()
    };
    let is_prefix = lower.len() >= MIN_ID_DIGITS && lower.bytes().all(|b| b.is_ascii_hexdigit());
    let by_id = |id: &ElectionId, _: &str| is_prefix && id.to_string() == lower;
    let by_title = |_: &ElectionId, title: &str| title == text;
    let by_title_in_any_case = |_: &ElectionId, title: &str| title.to_lowercase() == lower;
    let by_prefix = |id: &ElectionId, _: &str| is_prefix && id.to_string().starts_with(&lower);
    let tries: [Fits<'_>; 4] = [&by_id, &by_title, &by_title_in_any_case, &by_prefix];
    for fits in tries {
        match found(fits).as_slice() {
            [] => {}
            [(id, _)] => return Ok(*id),
            several => {
                return Err(SelectError::SeveralElections {
                    text: text.to_owned(),
                    ids: several
                        .iter()
                        .map(|(id, title)| format!("{id}  {title}"))
                        .collect(),
                });
            }
        }
    }
    Err(SelectError::NoElection(text.to_owned()))
}

/// The index of the option that `text` names: by its text, its number from 1, or the beginning of its text.
pub fn option<T: AsRef<str>>(options: &[T], text: &str) -> Result<u8, SelectError> {
    let text = text.trim();
    let lower = text.to_lowercase();
    let index = |position: usize| u8::try_from(position).unwrap_or(u8::MAX);
    let exact = options.iter().position(|option| option.as_ref() == text);
    if let Some(position) = exact {
        return Ok(index(position));
    }
    if let Some(number) = text
        .parse::<usize>()
        .ok()
        .filter(|n| (1..=options.len()).contains(n))
    {
        return Ok(index(number - 1));
    }
    let fitting = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..options.len())
            .filter(|position| fits(&options[*position].as_ref().to_lowercase()))
            .collect()
    };
    let mut found = fitting(&|option| option == lower);
    if found.is_empty() && !lower.is_empty() {
        found = fitting(&|option| option.starts_with(&lower));
    }
    let name = |position: &usize| options[*position].as_ref().to_owned();
    match found.as_slice() {
        [] => Err(SelectError::NoOption {
            text: text.to_owned(),
            options: (0..options.len())
                .map(|position| format!("{}  {}", position + 1, options[position].as_ref()))
                .collect(),
        }),
        [position] => Ok(index(*position)),
        several => Err(SelectError::SeveralOptions {
            text: text.to_owned(),
            options: several.iter().map(name).collect(),
        }),
    }
}

/// The ballot's choices from what was typed, in the form that the election's method asks for.
pub fn choices(terms: &Terms, texts: &[String], blank: bool) -> Result<Choices, SelectError> {
    let options: Vec<&str> = terms.options.iter().map(|option| option.as_str()).collect();
    let mut chosen = Vec::with_capacity(texts.len());
    for text in texts {
        let position = option(&options, text)?;
        if chosen.contains(&position) {
            return Err(SelectError::Twice(
                options[usize::from(position)].to_owned(),
            ));
        }
        chosen.push(position);
    }
    if blank && !chosen.is_empty() {
        return Err(SelectError::Number("a blank ballot names no option"));
    }
    if !blank && chosen.is_empty() {
        return Err(SelectError::Number(
            "name what you choose, or give --blank for a ballot that counts and names nothing",
        ));
    }
    match Method::from_number(terms.method) {
        Some(Method::Plurality) if chosen.len() > 1 => {
            return Err(SelectError::Number(
                "this election takes one option a ballot (method plurality)",
            ));
        }
        Some(Method::Plurality) => {}
        Some(Method::Approval) => chosen.sort_unstable(),
        Some(method) => return Err(SelectError::Method(method.name().to_owned())),
        None => return Err(SelectError::Method(terms.method.to_string())),
    }
    // Different options of at most 64 always fit.
    Choices::new(chosen).map_err(|_| SelectError::Number("too many options"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::{List, Text};

    fn terms(method: Method) -> Terms {
        Terms {
            title: Text::new("Lunch").unwrap(),
            question: Text::new("What?").unwrap(),
            options: List::new(
                ["Pizza", "Pasta", "2", "Über"]
                    .iter()
                    .map(|option| Text::new(option).unwrap())
                    .collect(),
            )
            .unwrap(),
            method: method as u8,
            seats: 1,
            score_maximum: 0,
            opens_at_ms: 1,
            closes_at_ms: 2,
            roll_closes_at_ms: 2,
            reveal_until_ms: 0,
            min_ring: 0,
            groups: List::new(vec![Text::new("open").unwrap()]).unwrap(),
            privacy: 0,
        }
    }

    fn chosen(method: Method, texts: &[&str], blank: bool) -> Result<Vec<u8>, SelectError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        choices(&terms(method), &texts, blank).map(|choices| choices.to_vec())
    }

    #[test]
    fn options_are_found_by_text_number_and_unique_beginning() {
        for (text, index) in [
            ("Pizza", 0),
            ("pizza", 0),
            ("1", 0),
            ("pi", 0),
            ("2", 2), // the option called 2 goes before the second option
            ("über", 3),
            ("4", 3),
        ] {
            assert_eq!(
                chosen(Method::Plurality, &[text], false),
                Ok(vec![index]),
                "{text}"
            );
        }
        assert!(matches!(
            chosen(Method::Plurality, &["p"], false),
            Err(SelectError::SeveralOptions { .. })
        ));
        for text in ["5", "0", "Soup", "", " "] {
            assert!(
                matches!(
                    chosen(Method::Plurality, &[text], false),
                    Err(SelectError::NoOption { .. })
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn ballots_have_the_form_of_their_method() {
        assert_eq!(
            chosen(Method::Approval, &["4", "Pizza"], false),
            Ok(vec![0, 3])
        );
        assert_eq!(chosen(Method::Plurality, &[], true), Ok(vec![]));
        assert_eq!(chosen(Method::Approval, &[], true), Ok(vec![]));
        assert!(matches!(
            chosen(Method::Plurality, &["1", "4"], false),
            Err(SelectError::Number(_))
        ));
        assert!(matches!(
            chosen(Method::Approval, &["1"], true),
            Err(SelectError::Number(_))
        ));
        assert!(matches!(
            chosen(Method::Approval, &[], false),
            Err(SelectError::Number(_))
        ));
        assert_eq!(
            chosen(Method::Approval, &["1", "pizza"], false),
            Err(SelectError::Twice("Pizza".to_owned()))
        );
        assert_eq!(
            chosen(Method::Irv, &["1"], false),
            Err(SelectError::Method("irv".to_owned()))
        );
    }

    #[test]
    fn elections_are_found_by_id_title_and_unique_beginning() {
        let id = |first: u8, last: u8| {
            let mut bytes = [0; 32];
            (bytes[0], bytes[1], bytes[31]) = (first, 0xcd, last);
            ElectionId::from_bytes(bytes)
        };
        let all = [
            (id(0xab, 1), "Lunch"),
            (id(0xab, 2), "Dinner"),
            (id(0x12, 3), "dinner"),
            (id(0x34, 4), "12cd"),
        ];
        let find = |text: &str| election(all.iter().copied(), text);
        assert_eq!(find("Lunch"), Ok(all[0].0));
        assert_eq!(find("lunch"), Ok(all[0].0));
        assert_eq!(find("Dinner"), Ok(all[1].0));
        assert_eq!(find(&all[1].0.to_string()), Ok(all[1].0));
        assert_eq!(find("34CD"), Ok(all[3].0));
        assert_eq!(
            find("12cd"),
            Ok(all[3].0),
            "a title goes before the beginning of an id"
        );
        assert_eq!(find("12cd00"), Ok(all[2].0));
        assert!(matches!(
            find("DINNER"),
            Err(SelectError::SeveralElections { .. })
        ));
        assert!(matches!(
            find("abcd"),
            Err(SelectError::SeveralElections { .. })
        ));
        for text in ["34", "", "Breakfast"] {
            assert!(
                matches!(find(text), Err(SelectError::NoElection(_))),
                "{text}"
            );
        }
    }
}
