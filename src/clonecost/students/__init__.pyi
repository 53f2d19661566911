from .load import Student as Student
from .load import load_student as load_student
from .load import student_of as student_of
from .naming import StudentName as StudentName
from .naming import must_be_listed as must_be_listed
from .naming import parse_student as parse_student
