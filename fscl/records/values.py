"""What values a record may hold."""

from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field

CHECKED = ConfigDict(allow_inf_nan=False)
VERSION: Literal[1] = 1  # of all records
Amount = Annotated[float, Field(ge=0)]
Cosine = Annotated[float, Field(ge=-1 - 1e-9, le=1 + 1e-9)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Ratio = Annotated[float, Field(gt=0, le=1e9)]
Seed = Annotated[int, Field(ge=0)]
Epoch = Literal["last", "best"]
Pair = Literal["fine", "coarse", "all"]
PAIRS: tuple[Pair, ...] = get_args(Pair)
