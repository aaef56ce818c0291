from bids_app.api import adapt as adapt
from bids_app.api import brain_map as brain_map
from bids_app.api import centiles as centiles
from bids_app.api import load_model as load_model
from bids_app.api import plot_centiles as plot_centiles
from bids_app.api import read_subject as read_subject
from bids_app.api import score as score

__version__: str
