"""`earmark doctor`: looks at this machine, without changing anything, for what would keep us from judging mail."""

from earmark.service.doctor.diagnosis import Diagnosis, State
from earmark.service.doctor.examination import examine

__all__ = ["Diagnosis", "State", "examine"]
