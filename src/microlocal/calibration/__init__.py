"""What data say of themselves before anything is reconstructed: noise, air, axis, outline, attenuation."""

from microlocal.calibration.air import AirLevel as AirLevel
from microlocal.calibration.air import air_level as air_level
from microlocal.calibration.center import AxisEstimate as AxisEstimate
from microlocal.calibration.center import find_axis as find_axis
from microlocal.calibration.center import with_center as with_center
from microlocal.calibration.hardening import Hardening as Hardening
from microlocal.calibration.hardening import upper_envelope as upper_envelope
from microlocal.calibration.image_noise import image_noise as image_noise
from microlocal.calibration.noise import noise_level as noise_level
from microlocal.calibration.outline import Outline as Outline
from microlocal.calibration.outline import air_around as air_around
from microlocal.calibration.outline import find_outline as find_outline
