"""Constants that are easy to reckon with."""

from streammac.planning.constants import Constants, HopCost, TokenSize, VisitCost


def equal(
    t_rw: float = 1e-6, t_cw: float = 1e-3, z_point_s: float = 1e-5, bits: int = 32
) -> Constants:
    """The paper's: all submodels alike, nothing but t_r^W, t_c^W and M t_r^Z; blocks of one submodel."""
    return Constants(
        machine="here",
        vectors="none",
        dim=128,
        what=f"codes of {bits} bits",
        visits=dict.fromkeys(("encoder", "decoder"), VisitCost(0.0, 0.0, t_rw)),
        sizes=dict.fromkeys(("encoder", "decoder"), TokenSize(1000.0, 500.0)),
        z_fixed_s=0.0,
        z_point_s=z_point_s,
        hop=HopCost(t_cw, 0.0),
    )
