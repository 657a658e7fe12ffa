"""Routes of the page's part "results"."""

from fastapi import APIRouter

router = APIRouter()
