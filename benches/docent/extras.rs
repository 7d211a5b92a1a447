//! What heavy tests cost those who do not ask for them: the same notebooks, with and without extra tests beside them.

use anyhow::Context;

use super::curation::{length, notebook, path};
use super::figure::{Figure, Figures, Spread};
use super::stage::Stage;

const ROUNDS: usize = 3;
const NOTEBOOKS: usize = 8;
const WHAT: &str = "a default run with extra tests in the repository";
/// Two of the same thing differ by so much on a machine that does something else now and then.
const NOISE: f64 = 1.1;

/// The two take turns, so that both meet the same machine.
pub async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    if let Err(why) = super::curation::image().await {
        figures.add(Figure::not_run(WHAT, &why.to_string()));
        return Ok(());
    }
    println!("{NOTEBOOKS} notebooks, with and without extra tests beside them");
    let mut files: Vec<(String, Vec<u8>)> =
        (0..NOTEBOOKS).map(|number| (path(number), notebook(number, 0))).collect();
    files.push(("requirements.txt".to_owned(), "numpy\n".into()));
    let without = Stage::set("notebook", &[], &files).await?;
    for number in 0..3 {
        files.push((format!("tests/extra/test_{number}.py"), b"def test_heavy():\n    pass\n".to_vec()));
        files.push((format!("notebooks/extra/n{number}.ipynb"), notebook(number, 0)));
    }
    let with = Stage::set("notebook", &[], &files).await?;
    let (mut plain, mut beside) = (Vec::new(), Vec::new());
    // The first round builds the environment and counts for nothing.
    for round in 0..=ROUNDS {
        for (stage, times) in [(&without, &mut plain), (&with, &mut beside)] {
            let run = stage.run("!testme --full").await?;
            let tested = run.tier("notebooks").context("no tier of notebooks")?.tests.len();
            if tested != NOTEBOOKS || run.tier("extra").is_some() {
                figures
                    .add(Figure::failed(WHAT, &format!("{tested} notebooks were tested, not {NOTEBOOKS}")));
            }
            if round > 0 {
                times.push(length(&run)?);
            }
        }
    }
    let (plain, beside) = Spread::of(plain).zip(Spread::of(beside)).context("nothing was measured")?;
    let numbers = format!("{beside} over {plain}");
    figures.add(Figure::noisy(WHAT, beside.median / plain.median, "×", Some(NOISE), numbers));
    Ok(())
}
