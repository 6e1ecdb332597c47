//! Where members are in time (section 3.8): Vivaldi's network coordinates, as in the paper by Dabek, Cox, Kaashoek and
//! Morris, with the adjustment by Lee and others and the gravity by Ledlie and others.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::gossip::wire::Malformed;
use crate::gossip::wire::coordinate::{self as wire, DIMENSIONS};
use crate::gossip::{Dice, Name};

/// The greatest error, which is that of who knows nothing.
const ERROR_MAX: f64 = 1.5;
/// How much one sample changes the error.
const ERROR_WEIGHT: f64 = 0.25;
/// How much one sample moves the place.
const MOVE_WEIGHT: f64 = 0.25;
/// Samples that the adjustment is the mean of.
const WINDOW: usize = 20;
/// Samples of one member that the median is taken of.
const FILTER: usize = 3;
/// The least height, in seconds.
const HEIGHT_MIN: f64 = 1e-5;
/// How far out the pull to the origin is as strong as a second.
const GRAVITY_RHO: f64 = 150.0;
/// What is as good as nothing.
const ZERO: f64 = 1e-6;
/// The longest round trip that is believed.
const SLOWEST: Duration = Duration::from_secs(10);

/// A place in time: the distance between two is how long a message takes there and back, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate {
    /// Added to each distance.
    pub adjustment: f64,
    /// How far it may be off.
    pub error: f64,
    /// What the way to anybody takes.
    pub height: f64,
    /// The place.
    pub vec: [f64; DIMENSIONS],
}

impl Default for Coordinate {
    fn default() -> Coordinate {
        Coordinate { adjustment: 0.0, error: ERROR_MAX, height: HEIGHT_MIN, vec: [0.0; DIMENSIONS] }
    }
}

impl From<&Coordinate> for wire::Coordinate {
    fn from(place: &Coordinate) -> wire::Coordinate {
        let Coordinate { adjustment, error, height, vec } = *place;
        wire::Coordinate { vec: vec.to_vec(), error, adjustment, height }
    }
}

/// A place of another number of dimensions, or with a number that is none, is no place.
impl TryFrom<&wire::Coordinate> for Coordinate {
    type Error = Malformed;

    fn try_from(payload: &wire::Coordinate) -> Result<Coordinate, Malformed> {
        let vec = payload.vec.as_slice().try_into().map_err(|_| Malformed("another number of dimensions"))?;
        let &wire::Coordinate { error, adjustment, height, .. } = payload;
        let place = Coordinate { adjustment, error, height, vec };
        if place.is_finite() { Ok(place) } else { Err(Malformed("a number that is none")) }
    }
}

fn magnitude(vec: &[f64; DIMENSIONS]) -> f64 {
    vec.iter().map(|part| part * part).sum::<f64>().sqrt()
}

fn difference(one: &[f64; DIMENSIONS], other: &[f64; DIMENSIONS]) -> [f64; DIMENSIONS] {
    let mut vec = *one;
    vec.iter_mut().zip(other).for_each(|(part, other)| *part -= other);
    vec
}

impl Coordinate {
    /// Whether every number is one.
    pub fn is_finite(&self) -> bool {
        [self.adjustment, self.error, self.height].iter().chain(&self.vec).all(|number| number.is_finite())
    }

    /// Seconds there and back, without the adjustments.
    fn raw_distance(&self, other: &Coordinate) -> f64 {
        magnitude(&difference(&self.vec, &other.vec)) + self.height + other.height
    }

    /// How long a message takes to `other` and back, in seconds.
    pub fn distance(&self, other: &Coordinate) -> f64 {
        let raw = self.raw_distance(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { raw }
    }

    /// Pushed away from `other` by `force` seconds, or towards it if that is negative.
    fn pushed(&self, force: f64, other: &Coordinate, dice: &mut dyn Dice) -> Coordinate {
        let mut unit = difference(&self.vec, &other.vec);
        let apart = magnitude(&unit);
        if apart <= ZERO {
            // On top of each other, any way is away.
            unit.iter_mut().for_each(|part| *part = dice.fraction() - 0.5);
        }
        let length = magnitude(&unit);
        if length > ZERO {
            unit.iter_mut().for_each(|part| *part /= length);
        } else {
            unit = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        }
        let mut pushed = *self;
        pushed.vec.iter_mut().zip(unit).for_each(|(part, unit)| *part += unit * force);
        if apart > ZERO {
            let height = (pushed.height + other.height) * force / apart + pushed.height;
            pushed.height = height.max(HEIGHT_MIN);
        }
        pushed
    }
}

/// Where this node is, moved by each round trip.
#[derive(Debug, Default)]
pub struct Vivaldi {
    place: Coordinate,
    /// The last errors of the place, in seconds.
    window: VecDeque<f64>,
    /// The last round trips to members, in seconds.
    trips: BTreeMap<Name, VecDeque<f64>>,
    resets: u64,
}

impl Vivaldi {
    /// Where this node is.
    pub fn place(&self) -> &Coordinate {
        &self.place
    }

    /// How often the place was given up because it was no place any more.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Learns from a round trip to `node`, which is at `other`; answers whether it was believed.
    pub fn learn(&mut self, node: &Name, other: &Coordinate, trip: Duration, dice: &mut dyn Dice) -> bool {
        if !other.is_finite() || trip > SLOWEST {
            return false;
        }
        let trip = self.median(node, trip.as_secs_f64());
        self.move_by(other, trip.max(ZERO), dice);
        self.adjust(other, trip);
        self.fall(dice);
        if !self.place.is_finite() {
            self.resets += 1;
            self.place = Coordinate::default();
        }
        true
    }

    /// How many members' round trips are remembered.
    #[cfg(test)]
    pub fn known(&self) -> usize {
        self.trips.len()
    }

    /// Forgets the round trips to a member.
    pub fn forget(&mut self, node: &Name) {
        self.trips.remove(node);
    }

    fn median(&mut self, node: &Name, trip: f64) -> f64 {
        let trips = self.trips.entry(node.clone()).or_default();
        trips.push_back(trip);
        if trips.len() > FILTER {
            trips.pop_front();
        }
        let mut sorted: Vec<f64> = trips.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(trip)
    }

    fn move_by(&mut self, other: &Coordinate, trip: f64, dice: &mut dyn Dice) {
        let distance = self.place.distance(other);
        let wrong = (distance - trip).abs() / trip;
        let weight = self.place.error / (self.place.error + other.error).max(ZERO);
        let error = ERROR_WEIGHT * weight * wrong + self.place.error * (1.0 - ERROR_WEIGHT * weight);
        self.place.error = error.min(ERROR_MAX);
        self.place = self.place.pushed(MOVE_WEIGHT * weight * (trip - distance), other, dice);
    }

    fn adjust(&mut self, other: &Coordinate, trip: f64) {
        self.window.push_back(trip - self.place.raw_distance(other));
        if self.window.len() > WINDOW {
            self.window.pop_front();
        }
        self.place.adjustment = self.window.iter().sum::<f64>() / (2 * WINDOW) as f64;
    }

    /// Everybody falls towards the origin a little, so that the cloud of all does not drift away.
    fn fall(&mut self, dice: &mut dyn Dice) {
        let origin = Coordinate::default();
        let force = -(self.place.distance(&origin) / GRAVITY_RHO).powi(2);
        self.place = self.place.pushed(force, &origin, dice);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Coordinate, DIMENSIONS, Vivaldi};
    use crate::gossip::Name;
    use crate::gossip::dice::Dice;
    use crate::gossip::dice::tests::Seeded;

    #[test]
    fn section_3_8_the_start() {
        let start = Coordinate::default();
        assert_eq!((start.error, start.height, start.adjustment, start.vec), (1.5, 1e-5, 0.0, [0.0; DIMENSIONS]));
        assert!((start.distance(&start) - 2e-5).abs() < 1e-12);
    }

    #[test]
    fn section_3_8_adjustments_count_only_while_the_sum_stays_above_nothing() {
        let (mut one, mut other) = (Coordinate::default(), Coordinate::default());
        one.vec[0] = 0.1;
        one.adjustment = 0.01;
        assert!((one.distance(&other) - 0.110_02).abs() < 1e-9);
        other.adjustment = -1.0;
        assert!((one.distance(&other) - 0.100_02).abs() < 1e-9);
    }

    #[test]
    fn section_3_8_what_is_not_believed() {
        let (mut vivaldi, mut dice) = (Vivaldi::default(), Seeded(1));
        let node = Name::from("a");
        let mut other = Coordinate::default();
        assert!(!vivaldi.learn(&node, &other, Duration::from_millis(10_001), &mut dice));
        assert!(vivaldi.learn(&node, &other, Duration::from_secs(10), &mut dice));
        assert!(vivaldi.learn(&node, &other, Duration::ZERO, &mut dice));
        let before = *vivaldi.place();
        other.vec[3] = f64::NAN;
        assert!(!vivaldi.learn(&node, &other, Duration::from_millis(1), &mut dice));
        assert_eq!(*vivaldi.place(), before);
    }

    #[test]
    fn section_3_8_one_slow_trip_of_three_moves_nothing() {
        let mut vivaldi = Vivaldi::default();
        let node = Name::from("a");
        assert_eq!([0.2, 0.9, 0.3].map(|trip| vivaldi.median(&node, trip)), [0.2, 0.9, 0.3]);
        assert_eq!([0.1, 0.4].map(|trip| vivaldi.median(&node, trip)), [0.3, 0.3]);
    }

    #[test]
    fn section_3_8_a_place_that_is_none_is_given_up() {
        let (mut vivaldi, mut dice) = (Vivaldi::default(), Seeded(1));
        let far = Coordinate { height: 1e308, vec: [1e308; DIMENSIONS], ..Coordinate::default() };
        assert!(vivaldi.learn(&"a".into(), &far, Duration::from_millis(1), &mut dice));
        assert_eq!((vivaldi.resets(), *vivaldi.place()), (1, Coordinate::default()));
    }

    /// Nodes on a grid that is 10 ms wide, as in the tests of the paper.
    #[test]
    fn section_3_8_a_grid_is_found() {
        let mut dice = Seeded(7);
        let side = 5;
        let count = side * side;
        let true_trip = |one: usize, other: usize| {
            let (x, y) = ((one % side).abs_diff(other % side) as f64, (one / side).abs_diff(other / side) as f64);
            0.01 * (x * x + y * y).sqrt()
        };
        let mut nodes: Vec<Vivaldi> = (0..count).map(|_| Vivaldi::default()).collect();
        for _ in 0..1000 {
            for one in 0..count {
                let other = dice.below(count);
                if other == one {
                    continue;
                }
                let place = *nodes[other].place();
                let trip = Duration::from_secs_f64(true_trip(one, other));
                nodes[one].learn(&Name::from(other.to_string().as_str()), &place, trip, &mut dice);
            }
        }
        let pairs = (0..count).flat_map(|one| (0..one).map(move |other| (one, other)));
        let errors = pairs.map(|(one, other)| {
            let found = nodes[one].place().distance(nodes[other].place());
            (found - true_trip(one, other)).abs() / true_trip(one, other)
        });
        let errors: Vec<f64> = errors.collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        assert!(mean < 0.02, "{mean}");
    }
}
