//! A lane carries one job at a time. It is free again only when the job itself says that it ended.

use super::decision::JobId;

/// What a lane is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Lane<J> {
    /// Nothing.
    #[default]
    Idle,
    /// This job.
    Busy {
        /// The job's identity.
        id: JobId,
        /// The job.
        job: J,
        /// Whether it was asked to stop.
        cancelling: bool,
    },
}

impl<J> Lane<J> {
    /// Whether a new job may begin.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// The job under way.
    pub(super) const fn job(&self) -> Option<&J> {
        match self {
            Self::Idle => None,
            Self::Busy { job, .. } => Some(job),
        }
    }

    /// Begins a job.
    pub(super) fn begin(&mut self, id: JobId, job: J) {
        *self = Self::Busy { id, job, cancelling: false };
    }

    /// Frees the lane if it is this job that ended. A result with another identity changes nothing.
    pub(super) fn end(&mut self, ended: JobId) -> Option<J> {
        match ::core::mem::take(self) {
            Self::Busy { id, job, .. } if id == ended => Some(job),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Asks the job to stop, however often it was asked before: the identity to cancel, if there is a job.
    pub(super) const fn insist(&mut self) -> Option<JobId> {
        match self {
            Self::Idle => None,
            Self::Busy { id, cancelling, .. } => {
                *cancelling = true;
                Some(*id)
            }
        }
    }

    /// Asks the job to stop, once: the identity to cancel, or none where there is nothing more to ask.
    pub(super) const fn cancel(&mut self) -> Option<JobId> {
        match self {
            Self::Busy { cancelling: true, .. } => None,
            _ => self.insist(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_freed_by_its_own_job_alone_and_cancelled_once() {
        let mut lane = Lane::Idle;
        lane.begin(JobId(1), "backup");
        assert_eq!((lane.end(JobId(2)), lane.job()), (None, Some(&"backup")));
        assert_eq!((lane.cancel(), lane.cancel(), lane.insist()), (Some(JobId(1)), None, Some(JobId(1))));
        assert!(!lane.is_idle(), "to cancel is a wish");
        assert_eq!(lane.end(JobId(1)), Some("backup"));
        assert!(lane.is_idle());
        assert_eq!(lane.end(JobId(1)), None);
    }
}
