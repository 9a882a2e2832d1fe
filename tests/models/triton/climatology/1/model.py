"""Our climatology as a model of Triton's Python backend."""

import numpy as np
import triton_python_backend_utils as pb_utils

from models.climatology import Climatology
from models.panel import Panel


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    @staticmethod
    def answer(request):
        def tensor(name):
            return pb_utils.get_input_tensor_by_name(request, name).as_numpy()

        target = tensor("TARGET")
        panel = Panel(None, np.zeros(len(target), np.int64), target, tensor("STOCKOUT"))
        values = Climatology().predict_panel(panel, int(tensor("HORIZON")[0]), tensor("QUANTILES").tolist())
        return pb_utils.InferenceResponse([pb_utils.Tensor("FORECAST", values)])
