"""The result of an audit as data: `run/result.json` and its published schema.

Every report is a pure function of these models and of the run's `samples.safetensors`,
`search.safetensors` and `rows.safetensors`. `json_schema()` is the JSON schema; `SCHEMA` changes
when a field changes its meaning or is removed.
"""

from clonecost.result.cards import AttackCard as AttackCard
from clonecost.result.cards import Authorisation as Authorisation
from clonecost.result.cards import Control as Control
from clonecost.result.cards import CounterCard as CounterCard
from clonecost.result.cards import DefenceCard as DefenceCard
from clonecost.result.cards import EndpointCard as EndpointCard
from clonecost.result.cards import FeatureCard as FeatureCard
from clonecost.result.cards import Flag as Flag
from clonecost.result.cards import Price as Price
from clonecost.result.cards import Provenance as Provenance
from clonecost.result.cards import ThreatCard as ThreatCard
from clonecost.result.cards import VictimCard as VictimCard
from clonecost.result.detection import Detection as Detection
from clonecost.result.detection import read_detection as read_detection
from clonecost.result.document import SCHEMA as SCHEMA
from clonecost.result.document import Result as Result
from clonecost.result.document import json_schema as json_schema
from clonecost.result.document import read_result as read_result
from clonecost.result.panel import PANEL as PANEL
from clonecost.result.panel import Look as Look
from clonecost.result.panel import MeasureKind as MeasureKind
from clonecost.result.panel import PanelDocument as PanelDocument
from clonecost.result.panel import PanelEntry as PanelEntry
from clonecost.result.panel import PanelLimits as PanelLimits
from clonecost.result.panel import PanelMeasure as PanelMeasure
from clonecost.result.panel import PartLook as PartLook
from clonecost.result.panel import WatchRows as WatchRows
from clonecost.result.panel import read_panel as read_panel
from clonecost.result.rates import Corrected as Corrected
from clonecost.result.rates import Measured as Measured
from clonecost.result.rates import Model as Model
from clonecost.result.rates import Rate as Rate
from clonecost.result.rates import percent as percent
from clonecost.result.score import ClassAgreement as ClassAgreement
from clonecost.result.score import Metric as Metric
from clonecost.result.score import Score as Score
from clonecost.result.score import TableScore as TableScore
from clonecost.result.score import metric_value as metric_value
from clonecost.result.score import metrics as metrics
from clonecost.result.traffic import Search as Search
from clonecost.result.traffic import Span as Span
from clonecost.result.traffic import SpotCheck as SpotCheck
from clonecost.result.traffic import Traffic as Traffic
from clonecost.result.transfer import Strength as Strength
from clonecost.result.transfer import Transfer as Transfer
from clonecost.result.transfer import read_transfer as read_transfer
from clonecost.result.utility import Change as Change
from clonecost.result.utility import Latency as Latency
from clonecost.result.utility import RateChange as RateChange
from clonecost.result.utility import Utility as Utility
