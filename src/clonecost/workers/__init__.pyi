from .attempts import at_once as at_once
from .attempts import pool_of as pool_of
from .pool import Ended as Ended
from .pool import Pool as Pool
from .pool import Task as Task
