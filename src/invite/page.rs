//! A page of invitation slips to print and cut: self-contained HTML with QR codes as SVG, for A4 and Letter.
//!
//! Slips carry no number, so that nobody who draws one from a hat can be told by it. The page is as secret as the
//! codes on it.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

use crate::chain::genesis::NetworkId;
use crate::crypto::Invitation;

/// Slips on a sheet: two columns of five fit A4 and Letter alike.
const SLIPS_PER_SHEET: usize = 10;
/// Characters of a code that stand together.
const CHUNK: usize = 5;
/// Length of `invite1`, which stands before them.
const PREFIX: usize = 7;

/// What stands on every slip.
#[derive(Clone, Debug)]
pub struct Heading<'a> {
    /// Name of the network.
    pub network_name: &'a str,
    /// Its id.
    pub network: NetworkId,
    /// Name of its genesis file, which those who vote were given.
    pub file: &'a str,
    /// The group that the invitations are for.
    pub group: &'a str,
}

/// A code that holds more than a QR code can, which no invitation does.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the QR code: {0}")]
pub struct PageError(#[from] qrcode::types::QrError);

/// The page of these invitations.
pub fn slips(heading: &Heading<'_>, invitations: &[Invitation]) -> Result<String, PageError> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>Invitations: {}</title>\n\
         <style>{STYLE}</style></head><body>\n<header><h1>{}</h1><p><b>{}</b> invitations for <b>{}</b>. \
         Print, cut along the dashed lines, fold, and let everybody draw one. Whoever holds a slip can register with \
         it once: keep this page as you would keep cash, and delete it after printing.</p>\
         <button onclick=\"print()\">Print</button></header>\n",
        escape(heading.network_name),
        escape(heading.network_name),
        invitations.len(),
        escape(heading.group),
    );
    for sheet in invitations.chunks(SLIPS_PER_SHEET) {
        page.push_str("<section>\n");
        for invitation in sheet {
            slip(&mut page, heading, &invitation.to_text())?;
        }
        page.push_str("</section>\n");
    }
    page.push_str("</body></html>\n");
    Ok(page)
}

fn slip(page: &mut String, heading: &Heading<'_>, code: &str) -> Result<(), PageError> {
    page.push_str("<article>");
    qr(page, code)?;
    let (prefix, rest) = code.split_at(PREFIX.min(code.len()));
    let chunks = std::iter::once(prefix.as_bytes())
        .chain(rest.as_bytes().chunks(CHUNK))
        .map(String::from_utf8_lossy)
        .fold(String::new(), |text, chunk| text + "<i>" + &chunk + "</i>");
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "<div><h2>{}</h2><p class=\"group\">Invitation to vote · {}</p><p class=\"code\">{chunks}</p>\
         <p class=\"how\">On your computer, type<br><kbd>{}</kbd><br>and then the code. It works once.</p>\
         <p class=\"network\">network {}</p></div></article>",
        escape(heading.network_name),
        escape(heading.group),
        escape(&command(heading.file)),
        heading.network,
    );
    Ok(())
}

/// How an invitation to the network in this genesis file is used, as a shell takes it.
pub fn command(file: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    let file = if !file.is_empty() && !file.starts_with('-') && file.chars().all(plain) {
        file.to_owned()
    } else {
        format!("'{}'", file.replace('\'', "'\\''"))
    };
    format!("ballot --network {file} register --invitation -")
}

/// One path of horizontal runs. Upper case lets the code use the compact alphanumeric mode of QR.
fn qr(page: &mut String, code: &str) -> Result<(), PageError> {
    let code = QrCode::with_error_correction_level(code.to_ascii_uppercase(), EcLevel::M)?;
    let width = code.width();
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run[0] == Color::Dark {
                let length = run.len();
                let _ = write!(path, "M{x} {y}h{length}v1h-{length}z");
            }
            x += run.len();
        }
    }
    // Four light modules around the code are part of it (ISO/IEC 18004).
    let _ = write!(
        page,
        "<svg viewBox=\"-4 -4 {0} {0}\" shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"QR code\">\
         <path d=\"{path}\"/></svg>",
        width + 8
    );
    Ok(())
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
        escaped
    })
}

const STYLE: &str = include_str!("slips.css");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn heading() -> Heading<'static> {
        Heading {
            network_name: "Rowing <Club> & friends",
            network: NetworkId::from_bytes([0xab; 32]),
            file: "the club's.toml",
            group: "members",
        }
    }

    #[test]
    fn every_code_stands_on_a_slip_of_its_own() {
        let invitations: Vec<_> = (0..12).map(|_| Invitation::generate().unwrap()).collect();
        let page = slips(&heading(), &invitations).unwrap();
        assert_eq!(page.matches("<article>").count(), 12);
        assert_eq!(page.matches("<section>").count(), 2);
        let text = page.replace("<i>", "").replace("</i>", "");
        for invitation in &invitations {
            assert_eq!(text.matches(invitation.to_text().as_str()).count(), 1);
        }
    }

    #[test]
    fn a_slip_names_the_network_in_the_command() {
        assert_eq!(
            command("club.toml"),
            "ballot --network club.toml register --invitation -"
        );
        assert!(command("the club's.toml").contains(r"'the club'\''s.toml'"));
        let page = slips(&heading(), &[Invitation::generate().unwrap()]).unwrap();
        assert!(page.contains(&escape(&command("the club's.toml"))));
        assert!(page.contains(&"ab".repeat(32)));
    }

    #[test]
    fn names_are_escaped_and_nothing_is_loaded_from_elsewhere() {
        let page = slips(&heading(), &[Invitation::generate().unwrap()]).unwrap();
        assert!(page.contains("Rowing &lt;Club&gt; &amp; friends"));
        assert!(!page.contains("<Club>"));
        for outside in ["http:", "https:", "src=", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_drawn_modules_are_those_of_the_code() {
        let invitation = Invitation::generate().unwrap();
        let code = invitation.to_text().to_ascii_uppercase();
        let wanted = QrCode::with_error_correction_level(code, EcLevel::M).unwrap();
        let mut page = String::new();
        qr(&mut page, &invitation.to_text()).unwrap();
        let path = page.split("d=\"").nth(1).unwrap();
        let path = path.split('"').next().unwrap();
        let drawn: usize = path
            .split('M')
            .filter(|run| !run.is_empty())
            .map(|run| {
                let length = run.split(['h', 'v']).nth(1).unwrap();
                length.parse::<usize>().unwrap()
            })
            .sum();
        let dark = wanted
            .to_colors()
            .iter()
            .filter(|c| **c == Color::Dark)
            .count();
        assert_eq!(drawn, dark);
    }
}
