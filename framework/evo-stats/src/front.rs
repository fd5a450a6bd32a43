//! The Pareto front: what nothing else beats in every respect.

/// The places of the points that no other point beats: one that is nowhere greater and somewhere less.
/// Of equal points the first counts. In the order of the first figure, the least first.
///
/// Every point has as many figures as the others; less is better in each.
pub fn front(points: &[Vec<f64>]) -> Vec<usize> {
    let beats = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a <= b) && a != b;
    let mut found: Vec<usize> = Vec::new();
    for (place, point) in points.iter().enumerate() {
        let beaten = points.iter().any(|other| beats(other, point));
        let repeated = points.iter().take(place).any(|other| other == point);
        if !beaten && !repeated {
            found.push(place);
        }
    }
    let first = |place: &usize| {
        let figures = points.get(*place).and_then(|point| point.first());
        figures.copied().unwrap_or(f64::INFINITY)
    };
    found.sort_by(|a, b| first(a).total_cmp(&first(b)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_has_what_nothing_beats_and_nothing_twice() {
        let points: Vec<Vec<f64>> = [
            [3.0, 1.0],
            [1.0, 3.0],
            [2.0, 2.0],
            [2.0, 2.0],
            [2.0, 2.5],
            [3.0, 3.0],
            [1.0, 4.0],
        ]
        .iter()
        .map(|point| point.to_vec())
        .collect();
        assert_eq!(front(&points), [1, 2, 0]);
        assert_eq!(front(&[]), Vec::<usize>::new());
        // With one figure it is the best alone.
        assert_eq!(front(&[vec![2.0], vec![1.0], vec![1.0]]), [1]);
    }
}
