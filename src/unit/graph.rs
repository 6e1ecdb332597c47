//! The order that a table's references ask for, and the circles that make an order impossible.

/// An order of `0..after.len()` in which each number comes after all that `after` lists for it, otherwise as given; or the
/// circles, each as a path without its return, from its smallest number on. Numbers out of range are no constraint.
pub fn order(after: &[Vec<usize>]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut settled = vec![false; after.len()];
    let mut order = Vec::with_capacity(after.len());
    let mut circles = Vec::new();
    loop {
        settle(after, &mut settled, &mut order);
        let Some(circle) = circle(after, &settled) else { break };
        for number in &circle {
            if let Some(mark) = settled.get_mut(*number) {
                *mark = true;
            }
        }
        circles.push(circle);
    }
    if circles.is_empty() {
        Ok(order)
    } else {
        circles.sort_unstable();
        Err(circles)
    }
}

/// Whether a number is out of the way: settled, or not there.
fn free(settled: &[bool], number: usize) -> bool {
    settled.get(number).copied().unwrap_or(true)
}

/// Appends to `order`, again and again, the first number that waits for nothing.
fn settle(after: &[Vec<usize>], settled: &mut [bool], order: &mut Vec<usize>) {
    loop {
        let ready = after
            .iter()
            .enumerate()
            .find(|(number, before)| !free(settled, *number) && before.iter().all(|other| free(settled, *other)));
        let Some((number, _)) = ready else { return };
        if let Some(mark) = settled.get_mut(number) {
            *mark = true;
        }
        order.push(number);
    }
}

/// A circle among what is not settled. There every number waits for another, so that a walk must come back to its path.
fn circle(after: &[Vec<usize>], settled: &[bool]) -> Option<Vec<usize>> {
    let mut number = settled.iter().position(|settled| !settled)?;
    let mut path: Vec<usize> = Vec::new();
    loop {
        if let Some(start) = path.iter().position(|seen| *seen == number) {
            let mut circle = path.split_off(start);
            let smallest = circle.iter().enumerate().min_by_key(|(_, number)| **number).map_or(0, |(at, _)| at);
            circle.rotate_left(smallest);
            return Some(circle);
        }
        path.push(number);
        number = after.get(number)?.iter().copied().find(|other| !free(settled, *other))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_given_where_nothing_is_asked() {
        assert_eq!(order(&[]), Ok(vec![]));
        assert_eq!(order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![2], vec![], vec![]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[vec![1, 2], vec![3], vec![3], vec![]]), Ok(vec![3, 1, 2, 0]));
    }

    #[test]
    fn every_circle_once() {
        assert_eq!(order(&[vec![0]]), Err(vec![vec![0]]));
        assert_eq!(order(&[vec![1], vec![0]]), Err(vec![vec![0, 1]]));
        // 0 only leads into the circle.
        assert_eq!(order(&[vec![2], vec![2], vec![3], vec![1]]), Err(vec![vec![1, 2, 3]]));
        assert_eq!(order(&[vec![1], vec![0], vec![3], vec![2]]), Err(vec![vec![0, 1], vec![2, 3]]));
    }

    #[test]
    fn a_long_chain_is_quick_and_needs_no_stack() {
        let chain: Vec<Vec<usize>> = (0..256).map(|n| if n < 255 { vec![n + 1] } else { vec![] }).collect();
        assert_eq!(order(&chain), Ok((0..256).rev().collect()));
        let ring: Vec<Vec<usize>> = (0..256).map(|n| vec![(n + 1) % 256]).collect();
        assert_eq!(order(&ring), Err(vec![(0..256).collect()]));
    }
}
