//! The few numbers that a benchmark prints.

use std::fmt;

/// Measured values, in the order of their size.
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// Of at least one value.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Half of the values are smaller.
    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ninetieth, largest) = (self.0[self.0.len() * 9 / 10], self.0[self.0.len() - 1]);
        write!(f, "median {:.2}, 90th percentile {ninetieth:.2}, largest {largest:.2}", self.median())
    }
}
